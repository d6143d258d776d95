// Mini-program platform: requests, sockets, storage, sign-in, payments and uploads of wx.

import { storageOver } from "./storage.js";

const TIMEOUT_MS = 15000;
const UPLOAD_TIMEOUT_MS = 60000;

export function wxPlatform(wxApi) {
  const api = wxApi || wx;
  return {
    socketHeaders: true,
    request: ({ url, method, data, headers }) =>
      promised(api, "request", { url, method, data, header: headers, timeout: TIMEOUT_MS }).then(
        ({ statusCode, data, header }) => ({ status: statusCode, json: data, headers: header }),
      ),
    connectSocket: (url, { headers }) => socketOver(api, url, headers),
    storage: storageOver(
      (key) => api.getStorageSync(key),
      (key, text) => api.setStorageSync(key, text),
      (key) => api.removeStorageSync(key),
    ),
    onWake(wake) {
      const onNetworkStatus = ({ isConnected }) => isConnected && wake();
      api.onAppShow(wake);
      api.onNetworkStatusChange(onNetworkStatus);
      return () => {
        api.offAppShow(wake);
        if (api.offNetworkStatusChange) api.offNetworkStatusChange(onNetworkStatus);
      };
    },
    system() {
      const info = api.getDeviceInfo || api.getSystemInfoSync; // since base library 2.20.1
      return info ? info.call(api).platform : "";
    },
    confirmTransfer: (transfer) => promised(api, "requestMerchantTransfer", transfer), // since 3.3.0
    askForNotice: (templateId) => promised(api, "requestSubscribeMessage", { tmplIds: [templateId] }), // since 2.8.2
    sharePrivately: (activityId) =>
      promised(api, "updateShareMenu", { withShareTicket: true, isPrivateMessage: true, activityId }), // since 2.13.0
    authPrivateMessage: (shareTicket) =>
      promised(api, "authPrivateMessage", { shareTicket }).then(({ encryptedData, iv }) => ({ encryptedData, iv })),
    appId: () => api.getAccountInfoSync().miniProgram.appId,
    login: () => promised(api, "login").then(({ code }) => code),
    requestPayment: (content) =>
      promised(api, content.signData ? "requestVirtualPayment" : "requestPayment", content),
    async picture(file) {
      const { size } = await promised(api.getFileSystemManager(), "getFileInfo", { filePath: file });
      const { type } = await promised(api, "getImageInfo", { src: file }).catch(() => ({}));
      // WeChat does not recognize every format, but its temporary files have an extension.
      const format = type && type !== "unknown" ? type : file.split(".").pop().toLowerCase();
      return { size, type: "image/" + format.replace(/^jpg$/, "jpeg") };
    },
    upload: (url, fields, file) =>
      promised(api, "uploadFile", {
        url,
        filePath: file,
        name: "file",
        formData: fields,
        timeout: UPLOAD_TIMEOUT_MS,
      }).then(({ statusCode, data }) => ({ status: statusCode, text: data })),
    now: () => Date.now(),
    setTimeout: (run, ms) => setTimeout(run, ms),
    clearTimeout: (timer) => clearTimeout(timer),
    random: () => Math.random(),
  };
}

/** A function of wx as a promise; its errors have WeChat's errCode. */
function promised(api, name, options) {
  return new Promise((resolve, reject) => {
    const fail = ({ errMsg, errCode }) => reject(Object.assign(new Error(errMsg), { errCode }));
    if (api[name]) api[name]({ ...options, success: resolve, fail });
    else fail({ errMsg: "this WeChat is too old for wx." + name });
  });
}

function socketOver(api, url, header) {
  let reported = false;
  let ended = null;
  let closeListener = null;
  const reportEnd = (event) => {
    ended = ended || event;
    if (closeListener && !reported) {
      reported = true;
      closeListener(ended);
    }
  };
  const fail = (error) => reportEnd({ code: 1006, reason: error.errMsg || "" });
  const task = api.connectSocket({ url, header, fail });
  if (!task) throw new Error("wx.connectSocket returned no socket");
  // An error may be followed by a close or not; the first of the two is reported.
  task.onError(fail);
  task.onClose(({ code, reason }) => reportEnd({ code: code || 1006, reason: reason || "" }));
  return {
    onOpen: (listener) => task.onOpen(listener),
    onMessage: (listener) => task.onMessage(({ data }) => listener(data)),
    onClose(listener) {
      closeListener = listener;
      if (ended) setTimeout(() => reportEnd(ended), 0); // the caller is still in its constructor
    },
    send: (data) => task.send({ data, fail() {} }), // onClose reports the lost connection
    close: () => task.close({ code: 1000, fail() {} }),
  };
}
