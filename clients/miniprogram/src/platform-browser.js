// The browser: fetch, WebSocket, localStorage. A browser's WebSocket takes no headers, so the first
// frame brings the token.

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
      const shown = () => document.visibilityState === "visible" && wake();
      window.addEventListener("online", wake);
      document.addEventListener("visibilitychange", shown);
      return () => {
        window.removeEventListener("online", wake);
        document.removeEventListener("visibilitychange", shown);
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
  const patience = new AbortController();
  const timer = setTimeout(() => patience.abort(), TIMEOUT_MS);
  try {
    const reply = await fetch(url, { method, headers, body, signal: patience.signal });
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
    onOpen(opened) {
      socket.onopen = () => opened();
    },
    onMessage(heard) {
      socket.onmessage = ({ data }) => heard(data);
    },
    onClose(closed) {
      let told = false;
      const end = (how) => {
        if (!told) closed(how);
        told = true;
      };
      socket.onclose = ({ code, reason }) => end({ code, reason });
      // Not every WebSocket closes after a failed handshake.
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
