// Mini-program platform: wx.request, wx.connectSocket, wx.setStorageSync.

import { storageOver } from "./storage.js";

const TIMEOUT_MS = 15000;

export function wxPlatform(wxApi) {
  const api = wxApi || wx;
  return {
    socketHeaders: true,
    request: ({ url, method, data, headers }) =>
      new Promise((resolve, reject) => {
        api.request({
          url,
          method,
          data,
          header: headers,
          timeout: TIMEOUT_MS,
          success: (reply) =>
            resolve({ status: reply.statusCode, json: reply.data, headers: reply.header }),
          fail: (error) => reject(new Error(error.errMsg)),
        });
      }),
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
    confirmTransfer: (transfer) =>
      new Promise((resolve, reject) => {
        const fail = (error) => reject(new Error(error.errMsg));
        if (!api.requestMerchantTransfer) return fail({ errMsg: "this WeChat is too old" }); // 3.3.0
        api.requestMerchantTransfer(Object.assign({ success: resolve, fail }, transfer));
      }),
    now: () => Date.now(),
    setTimeout: (run, ms) => setTimeout(run, ms),
    clearTimeout: (timer) => clearTimeout(timer),
    random: () => Math.random(),
  };
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
