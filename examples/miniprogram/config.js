// The one address to set: that of your server. https:// is production; http:// is `make run`, whose
// simulator plays WeChat.
// `noticeTemplateId` is the template of the notice that a live has begun, as notices.template_id of the
// server; without one nobody is asked for it.
module.exports = { address: "http://127.0.0.1:8000", noticeTemplateId: "" };
