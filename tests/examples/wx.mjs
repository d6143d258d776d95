// `wx` of node: requests, sockets, uploads and storage are real; a phone's pages and dialogs are not.

import { readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(new URL("../../examples/miniprogram/", import.meta.url));
const WebSocket = require("ws");

/** `phone`: {as, platform, version, picture, answer, choices, permitted, isDown, isSlow, sockets, toasts, open} */
export function wxOf(phone) {
  const stored = new Map();
  const listeners = { appShow: new Set(), network: new Set() };
  const later = (run, ...args) => run && setTimeout(() => run(...args), 0);
  const online = (name) => {
    if (phone.isDown) throw { errMsg: `${name}:fail` };
  };

  async function request({ url, method, data, header, success, fail }) {
    try {
      online("request");
      while (phone.isSlow) await new Promise((resolve) => setTimeout(resolve, 10));
      const headers = { "Content-Type": "application/json", ...header };
      const body = method === "POST" ? JSON.stringify(data) : undefined;
      const reply = await fetch(url, { method, headers, body });
      const text = await reply.text();
      const isJson = (reply.headers.get("Content-Type") || "").includes("json");
      const answer = isJson ? JSON.parse(text) : text;
      online("request"); // or the answer is lost
      success({ statusCode: reply.status, data: answer, header: Object.fromEntries(reply.headers) });
    } catch (error) {
      later(fail, { errMsg: error.errMsg || String(error) });
    }
  }

  async function uploadFile({ url, filePath, name, formData, success, fail }) {
    const form = new FormData();
    for (const [field, value] of Object.entries(formData)) form.append(field, value);
    form.append(name, new Blob([readFileSync(filePath)]), "file");
    try {
      const reply = await fetch(url, { method: "POST", body: form });
      success({ statusCode: reply.status, data: await reply.text() });
    } catch (error) {
      later(fail, { errMsg: String(error) });
    }
  }

  function connectSocket({ url, header, fail }) {
    const socket = phone.isDown ? null : new WebSocket(url, { headers: header });
    const on = (name, listen) => socket && socket.on(name, listen);
    if (socket) phone.sockets.add(socket);
    else later(fail, { errMsg: "connectSocket:fail" });
    return {
      onOpen: (run) => on("open", () => run({})),
      onMessage: (run) => on("message", (data) => run({ data: data.toString() })),
      onError: (run) => on("error", (error) => run({ errMsg: error.message })),
      onClose: (run) => on("close", (code, reason) => run({ code, reason: reason.toString() })),
      send: ({ data }) => socket.readyState === WebSocket.OPEN && socket.send(data),
      close: () => socket && socket.close(1000),
    };
  }

  phone.wake = () => listeners.network.forEach((run) => run({ isConnected: true }));

  return {
    request,
    uploadFile,
    connectSocket,
    getStorageSync: (key) => stored.get(key) || "",
    setStorageSync: (key, value) => stored.set(key, value),
    removeStorageSync: (key) => stored.delete(key),
    getLaunchOptionsSync: () => ({ query: { as: phone.as } }),
    getEnterOptionsSync: () => phone.entered,
    updateShareMenu({ activityId, success }) {
      if (activityId) phone.shared.push(activityId);
      later(success, {});
    },
    showTabBarRedDot: ({ index }) => phone.dots.push(index),
    hideTabBarRedDot() {},
    getAppBaseInfo: () => ({ language: "zh_CN", SDKVersion: "3.7.0", version: phone.version }),
    getDeviceInfo: () => ({ platform: phone.platform, system: phone.platform === "ios" ? "iOS 17.4" : "Windows 10" }),
    onAppShow: (run) => listeners.appShow.add(run),
    offAppShow: (run) => listeners.appShow.delete(run),
    onNetworkStatusChange: (run) => listeners.network.add(run),
    offNetworkStatusChange: (run) => listeners.network.delete(run),
    env: { USER_DATA_PATH: "user" },
    requirePrivacyAuthorize: ({ success, fail }) => later(phone.permitted ? success : fail, {}),
    openPrivacyContract: () => phone.shared.push("privacy"),
    shareFileMessage({ filePath, fail }) {
      phone.shared.push(filePath);
      later(fail, { errMsg: "shareFileMessage:fail can only be invoked by user TAP gesture" });
    },
    setClipboardData({ data, success }) {
      phone.shared.push(data);
      later(success);
    },
    getFileSystemManager: () => ({
      writeFileSync: (path, text) => stored.set(path, text),
      readFileSync: (path) => stored.get(path),
      unlinkSync: (path) => stored.delete(path),
      getFileInfo: ({ filePath, success }) => later(success, { size: statSync(filePath).size }),
    }),
    getImageInfo: ({ src, success }) => later(success, { type: src.split(".").pop() }),
    chooseMedia: ({ success }) => later(success, { tempFiles: [{ tempFilePath: phone.picture }] }),
    authorize: ({ success, fail }) => later(phone.permitted ? success : fail, {}),
    showModal: ({ success }) => later(success, { confirm: true, content: phone.answer }),
    showActionSheet({ itemList, success, fail }) {
      phone.offered.push(itemList);
      const choice = phone.choices.shift();
      later(choice ? success : fail, { tapIndex: itemList.indexOf(choice) });
    },
    showToast: ({ title }) => phone.toasts.push(title),
    navigateTo({ url, complete }) {
      phone.open(url);
      later(complete);
    },
    redirectTo: ({ url }) => phone.replace(url),
    switchTab: ({ url }) => phone.open(url, true),
    navigateBack: () => phone.back(),
    getWindowInfo: () => ({ windowWidth: 375, windowHeight: 667, statusBarHeight: 20 }),
    getMenuButtonBoundingClientRect: () => ({ top: 26, height: 32, left: 281, width: 87, right: 368, bottom: 58 }),
    createLivePusherContext: () => ({ startPreview() {}, switchCamera: () => phone.toasts.push("switchCamera") }),
    setNavigationBarTitle() {},
    setKeepScreenOn() {},
    stopPullDownRefresh() {},
    nextTick: (run) => later(run),
  };
}
