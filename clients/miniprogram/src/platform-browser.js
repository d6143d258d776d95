// Browser platform: fetch, WebSocket, localStorage. Browsers cannot set WebSocket headers, so the
// first frame carries the token.

import { storageOver } from "./storage.js";

const TIMEOUT_MS = 15000;
const UPLOAD_TIMEOUT_MS = 60000;

export function browserPlatform() {
  return {
    socketHeaders: false,
    request,
    connectSocket: (url) => socketOver(new WebSocket(url)),
    storage: storageOver(
      (key) => localStorage.getItem(key),
      (key, text) => localStorage.setItem(key, text),
      (key) => localStorage.removeItem(key),
    ),
    onWake(wake) {
      if (typeof window === "undefined") return () => {};
      const onVisibility = () => document.visibilityState === "visible" && wake();
      window.addEventListener("online", wake);
      document.addEventListener("visibilitychange", onVisibility);
      return () => {
        window.removeEventListener("online", wake);
        document.removeEventListener("visibilitychange", onVisibility);
      };
    },
    picture: async ({ type, size }) => ({ type, size }),
    async upload(url, fields, file) {
      const body = new FormData();
      for (const name of Object.keys(fields)) body.append(name, fields[name]);
      body.append("file", file);
      const { status, text } = await timedFetch(url, { method: "POST", body }, UPLOAD_TIMEOUT_MS);
      return { status, text };
    },
    now: () => Date.now(),
    setTimeout: (run, ms) => setTimeout(run, ms),
    clearTimeout: (timer) => clearTimeout(timer),
    random: () => Math.random(),
  };
}

async function request({ url, method, data, headers }) {
  const body = data === undefined ? undefined : JSON.stringify(data);
  const reply = await timedFetch(url, { method, headers, body }, TIMEOUT_MS);
  return { status: reply.status, json: parse(reply.text), headers: reply.headers };
}

async function timedFetch(url, options, timeoutMs) {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), timeoutMs);
  try {
    const reply = await fetch(url, { ...options, signal: abort.signal });
    const text = await reply.text();
    return { status: reply.status, text, headers: Object.fromEntries(reply.headers.entries()) };
  } finally {
    clearTimeout(timer);
  }
}

export function socketOver(socket) {
  return {
    onOpen(listener) {
      socket.onopen = () => listener();
    },
    onMessage(listener) {
      socket.onmessage = ({ data }) => listener(data);
    },
    onClose(listener) {
      let reported = false;
      const end = (event) => {
        if (!reported) listener(event);
        reported = true;
      };
      socket.onclose = ({ code, reason }) => end({ code, reason });
      // Some WebSockets do not emit close after a failed handshake.
      socket.onerror = () => end({ code: 1006, reason: "" });
    },
    send(text) {
      if (socket.readyState === 1) socket.send(text);
    },
    close: () => socket.close(1000),
  };
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    return null;
  }
}
