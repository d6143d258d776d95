// The one address to set: that of your server. https:// is production; http:// is `make run`, whose
// simulator plays WeChat.
module.exports = { address: "http://127.0.0.1:8000" };
