// The mini-program: wx.request, wx.connectSocket, wx.setStorageSync.

import { storageOver } from "./storage.js";

const TIMEOUT_MS = 15000;

export function wxPlatform(given) {
  const api = given || wx;
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
          fail: (why) => reject(new Error(why.errMsg)),
        });
      }),
    connectSocket: (url, { headers }) => socketOver(api, url, headers),
    storage: storageOver(
      (key) => api.getStorageSync(key),
      (key, text) => api.setStorageSync(key, text),
      (key) => api.removeStorageSync(key),
    ),
    onWake(wake) {
      const online = ({ isConnected }) => isConnected && wake();
      api.onAppShow(wake);
      api.onNetworkStatusChange(online);
      return () => {
        api.offAppShow(wake);
        if (api.offNetworkStatusChange) api.offNetworkStatusChange(online);
      };
    },
    now: () => Date.now(),
    setTimeout: (run, ms) => setTimeout(run, ms),
    clearTimeout: (timer) => clearTimeout(timer),
    random: () => Math.random(),
  };
}

function socketOver(api, url, header) {
  let told = false;
  let ended = null;
  let ear = null;
  const end = (how) => {
    ended = ended || how;
    if (ear && !told) {
      told = true;
      ear(ended);
    }
  };
  const fail = (why) => end({ code: 1006, reason: why.errMsg || "" });
  const task = api.connectSocket({ url, header, fail });
  if (!task) throw new Error("WeChat gives no socket");
  // An error may come with a close behind it, or without: the first of the two ends it.
  task.onError(fail);
  task.onClose(({ code, reason }) => end({ code: code || 1006, reason: reason || "" }));
  return {
    onOpen: (opened) => task.onOpen(opened),
    onMessage: (heard) => task.onMessage(({ data }) => heard(data)),
    onClose(closed) {
      ear = closed;
      if (ended) setTimeout(() => end(ended), 0); // whoever asks is not ready to hear it yet
    },
    send: (data) => task.send({ data, fail() {} }), // what cannot be sent is a connection lost
    close: () => task.close({ code: 1000, fail() {} }),
  };
}
