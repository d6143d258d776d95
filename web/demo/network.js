// The simulated phone of a window: storage of its own, and a network that can be cut.

import { browserPlatform, storageOver } from "/sdk/qlive.js";

const SECRET_FIELDS = ["token", "user_sign", "user_sig", "encryptedData", "iv", "sign", "policy", "q-signature"];
const SECRET_REQUEST_FIELDS = [...SECRET_FIELDS, "code"]; // in a request the code of wx.login, in a response an error code

/** Reports every call to `onCall({ title, status, ms, body })`; `down` is true while cut. */
export function phoneNetwork(onCall) {
  const browser = browserPlatform();
  const disconnects = new Set(); // of the open sockets
  const wakeListeners = new Set();
  const network = { down: false, platform: null, cut, restore, post };

  function cut() {
    network.down = true;
    for (const disconnect of [...disconnects]) disconnect();
  }

  function restore() {
    network.down = false;
    for (const wake of [...wakeListeners]) wake();
  }

  async function request(options) {
    if (network.down) throw new Error("the network is cut");
    const startedAt = performance.now();
    const reply = await browser.request(options);
    const path = options.url.replace(location.origin, "").replace("/wx/api/qlive/", "");
    onCall({
      title: `${options.method} ${path}`,
      status: reply.status,
      ms: Math.round(performance.now() - startedAt),
      body: { sent: maskSecrets(options.data, SECRET_REQUEST_FIELDS), answer: maskSecrets(reply.json, SECRET_FIELDS) },
    });
    return reply;
  }

  /** Posts a picture to the simulated COS, which is on this server under any of its host names. */
  async function upload(url, fields, file) {
    if (network.down) throw new Error("the network is cut");
    const { pathname } = new URL(url);
    const startedAt = performance.now();
    const reply = await browser.upload(location.origin + pathname, fields, file);
    const body = { sent: { key: fields.key, type: file.type, size: file.size } };
    onCall({ title: `POST ${pathname}`, status: reply.status, ms: Math.round(performance.now() - startedAt), body });
    return reply;
  }

  /** Calls the simulator by path; throws Unreachable on any error. */
  async function post(path, data) {
    const headers = { "Content-Type": "application/json" };
    const options = { method: "POST", url: location.origin + path, data, headers };
    const reply = await request(options).catch(unreachable);
    return reply.status === 200 ? reply.json : unreachable(new Error(`${path}: HTTP ${reply.status}`));
  }

  function connectSocket(url, options) {
    if (network.down) return offlineSocket();
    const socket = browser.connectSocket(url, options);
    return {
      ...socket,
      onClose(listener) {
        const disconnect = () => {
          disconnects.delete(disconnect);
          listener({ code: 1006, reason: "" });
        };
        disconnects.add(disconnect);
        socket.onClose((event) => {
          disconnects.delete(disconnect);
          listener(event);
        });
      },
    };
  }

  network.platform = {
    ...browser,
    request,
    upload,
    connectSocket,
    storage: storageOver(
      (key) => sessionStorage.getItem(key), // per window, so that each window is its own user
      (key, text) => sessionStorage.setItem(key, text),
      (key) => sessionStorage.removeItem(key),
    ),
    onWake(wake) {
      wakeListeners.add(wake);
      const stop = browser.onWake(wake);
      return () => {
        wakeListeners.delete(wake);
        stop();
      };
    },
  };
  return network;
}

function unreachable(error) {
  throw Object.assign(error, { name: "Unreachable" });
}

/** A socket without a network: it closes at once. */
function offlineSocket() {
  return {
    onOpen() {},
    onMessage() {},
    onClose: (listener) => setTimeout(() => listener({ code: 1006, reason: "" })),
    send() {},
    close() {},
  };
}

/** Masks keys and tokens, which must not be visible in the panel. */
function maskSecrets(json, secrets) {
  const mask = (key, value) => (secrets.includes(key) && typeof value === "string" && value ? "…" : value);
  return json === undefined ? undefined : JSON.parse(JSON.stringify(json, mask));
}
