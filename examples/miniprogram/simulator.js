// The phone of a development server: sign-in, payments and transfers go to its simulator of WeChat.

const APP_ID = "wxca891295c56f2c79"; // as wechat.apps in settings.yaml
const WECHAT_CODES = { cancel: -2, signature: -15007 }; // "signature": by an earlier session key
const FAILED = -1;

/** `wx` with simulated accounts; `as` in the launch query names the user. */
function phone(address) {
  const name = wx.getLaunchOptionsSync().query.as || "秀英";
  const post = (path, data) =>
    new Promise((resolve, reject) => {
      const success = ({ statusCode, data: answer }) =>
        statusCode === 200 ? resolve(answer) : reject({ errMsg: `${path}: HTTP ${statusCode}` });
      wx.request({ url: `${address}/sim${path}`, method: "POST", data, success, fail: reject });
    });

  const pay = ({ success, fail, ...content }) => {
    const settle = (outcome) =>
      post("/phone/pay", { content: JSON.stringify(content), outcome }).then((answer) => {
        const reason = answer.why || answer.outcome;
        if (reason === "success") success({ errMsg: "requestPayment:ok" });
        else fail({ errCode: WECHAT_CODES[reason] || FAILED, errMsg: `requestPayment:fail ${reason}` });
      });
    wx.showModal({
      title: "模拟支付",
      content: "不会花真钱",
      success: ({ confirm }) => settle(confirm ? "success" : "cancel").catch(fail),
    });
  };

  const subscribe = ({ tmplIds: [template_id], success, fail }) => {
    const settle = (choice) =>
      post("/phone/notice", { name, template_id, choice }).then(() => success({ [template_id]: choice }), fail);
    const answer = ({ confirm }) => settle(confirm ? "accept" : "reject");
    wx.showModal({ title: "模拟订阅", content: "开播时通知我一次", success: answer });
  };

  // Not Object.assign: the properties of wx, which this object inherits, cannot be assigned to.
  const simulated = {
    login: ({ success, fail }) => post("/phone/login", { name, modern: true }).then(success, fail),
    requestPayment: pay,
    requestVirtualPayment: pay,
    requestSubscribeMessage: subscribe,
    updateShareMenu: (menu) => wx.updateShareMenu({ ...menu, fail: menu.success }), // WeChat has no such activity
    authPrivateMessage: ({ shareTicket, success, fail }) =>
      post("/phone/private_message", { name, activity_id: shareTicket }).then(success, fail),
    requestMerchantTransfer: ({ package: transfer, success, fail }) =>
      post("/transfer/confirm", { package: transfer }).then(success, fail),
  };
  return Object.create(wx, Object.getOwnPropertyDescriptors(simulated));
}

module.exports = { APP_ID, phone };
