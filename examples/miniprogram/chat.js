// The text chat of rooms, or null: it needs an application of Tencent IM and its library (README).

const qlive = require("./qlive.js");

const liteChat = null; // require("@tencentcloud/lite-chat")

module.exports = liteChat && qlive.chat(liteChat);
