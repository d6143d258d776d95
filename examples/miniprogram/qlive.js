// The client of the server that config.js names.

const { createClient, wxPlatform } = require("qlive-miniprogram");
const { address, noticeTemplateId } = require("./config.js");
const simulator = require("./simulator.js");

const isProduction = address.startsWith("https:");

module.exports = createClient({
  base: `${address}/wx/api/qlive`,
  platform: wxPlatform(isProduction ? wx : simulator.phone(address)),
  signInAgain: true,
  noticeTemplateId,
  appId: isProduction ? undefined : simulator.APP_ID,
});
