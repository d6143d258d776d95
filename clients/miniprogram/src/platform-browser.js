// Browser platform: fetch, WebSocket, localStorage. Browsers cannot set WebSocket headers, so the
// first frame carries the token.

import { storageOver } from "./storage.js";

const TIMEOUT_MS = 15000;

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
    now: () => Date.now(),
    setTimeout: (run, ms) => setTimeout(run, ms),
    clearTimeout: (timer) => clearTimeout(timer),
    random: () => Math.random(),
  };
}

async function request({ url, method, data, headers }) {
  const body = data === undefined ? undefined : JSON.stringify(data);
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), TIMEOUT_MS);
  try {
    const reply = await fetch(url, { method, headers, body, signal: abort.signal });
    const text = await reply.text();
    const retryAfter = reply.headers.get("Retry-After");
    return {
      status: reply.status,
      json: parse(text),
      headers: retryAfter === null ? {} : { "Retry-After": retryAfter },
    };
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
