// This window's phone: its own memory, and a network that can be taken away to see what happens.

import { browserPlatform, storageOver } from "/sdk/qlive.js";

const SECRETS = ["token", "user_sign", "user_sig", "encryptedData", "iv", "sign"];
const SECRETS_SENT = [...SECRETS, "code"]; // what wx.login gives; in an answer it is the word for a refusal

/** `note({ title, status, ms, body })` hears of every call; `down` says whether it is cut. */
export function phoneNetwork(note) {
  const real = browserPlatform();
  const lines = new Set(); // sockets that are open, each by what ends it
  const wakes = new Set();
  const network = { down: false, platform: null, cut, restore, post };

  function cut() {
    network.down = true;
    for (const end of [...lines]) end();
  }

  function restore() {
    network.down = false;
    for (const wake of [...wakes]) wake();
  }

  async function request(asked) {
    if (network.down) throw new Error("the network is cut");
    const began = performance.now();
    const reply = await real.request(asked);
    const path = asked.url.replace(location.origin, "").replace("/wx/api/qlive/", "");
    note({
      title: `${asked.method} ${path}`,
      status: reply.status,
      ms: Math.round(performance.now() - began),
      body: { sent: hide(asked.data, SECRETS_SENT), answer: hide(reply.json, SECRETS) },
    });
    return reply;
  }

  /** A call of the simulator, by path; Unreachable when it does not take it. */
  async function post(path, data) {
    const headers = { "Content-Type": "application/json" };
    const asked = { method: "POST", url: location.origin + path, data, headers };
    const reply = await request(asked).catch(unreachable);
    return reply.status === 200 ? reply.json : unreachable(new Error(`${path}: HTTP ${reply.status}`));
  }

  function connectSocket(url, options) {
    if (network.down) return nobody();
    const socket = real.connectSocket(url, options);
    return {
      ...socket,
      onClose(closed) {
        const end = () => {
          lines.delete(end);
          closed({ code: 1006, reason: "" });
        };
        lines.add(end);
        socket.onClose((how) => {
          lines.delete(end);
          closed(how);
        });
      },
    };
  }

  network.platform = {
    ...real,
    request,
    connectSocket,
    storage: storageOver(
      (key) => sessionStorage.getItem(key), // one window, one person
      (key, text) => sessionStorage.setItem(key, text),
      (key) => sessionStorage.removeItem(key),
    ),
    onWake(wake) {
      wakes.add(wake);
      const stop = real.onWake(wake);
      return () => {
        wakes.delete(wake);
        stop();
      };
    },
  };
  return network;
}

function unreachable(error) {
  throw Object.assign(error, { name: "Unreachable" });
}

/** A socket of a phone without a network. */
function nobody() {
  return {
    onOpen() {},
    onMessage() {},
    onClose: (closed) => setTimeout(() => closed({ code: 1006, reason: "" })),
    send() {},
    close() {},
  };
}

/** Keys and tokens are not for the panel, nor for whoever looks over a shoulder. */
function hide(json, secrets) {
  const mask = (key, value) => (secrets.includes(key) && typeof value === "string" && value ? "…" : value);
  return json === undefined ? undefined : JSON.parse(JSON.stringify(json, mask));
}
