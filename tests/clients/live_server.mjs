// SDK clients of the server at QLIVE_ADDRESS.

import { browserPlatform, createClient, wxPlatform } from "../../clients/miniprogram/src/qlive.js";
import { socketOver } from "../../clients/miniprogram/src/platform-browser.js";

export const ADDRESS = process.env.QLIVE_ADDRESS;
const OPS_TOKEN = process.env.QLIVE_OPS_TOKEN;
const BASE_PATH = "/wx/api/qlive";
const WAIT_MS = 60_000;

if (!ADDRESS || !OPS_TOKEN) {
  throw new Error(
    "QLIVE_ADDRESS and QLIVE_OPS_TOKEN must name a running server: .venv/bin/pytest tests/clients starts one.",
  );
}

async function post(path, body, headers = {}, method = "POST") {
  const reply = await fetch(ADDRESS + path, { method, headers, body: JSON.stringify(body) });
  if (!reply.ok) throw new Error(`${path}: ${reply.status} ${await reply.text()}`);
  return reply.json();
}

export function ops(method, path, body) {
  return post(`/ops/api/${path}`, body, { Authorization: `Bearer ${OPS_TOKEN}` }, method);
}

/** The login data that WeChat gives a device; the code works once. */
export function wechatLogin(name, gender = 0) {
  return post("/sim/phone/login", { name, gender });
}

/** A client on the browser platform, with storage in memory. */
export function browserClient(address = ADDRESS) {
  return createClient({ base: address + BASE_PATH, platform: browserPlatform() });
}

/** A client on the mini-program platform, with wx on top of node's network. */
export function miniProgramClient(address = ADDRESS, storage = new Map()) {
  return createClient({ base: address + BASE_PATH, platform: wxPlatform(fakeWx(storage)) });
}

function fakeWx(storage) {
  return {
    request({ url, method, data, header, success, fail }) {
      fetch(url, { method, headers: header, body: data && JSON.stringify(data) }).then(
        async (reply) =>
          success({
            statusCode: reply.status,
            data: await reply.json(),
            header: Object.fromEntries(reply.headers),
          }),
        (error) => fail({ errMsg: error.message }),
      );
    },
    connectSocket({ url, header }) {
      const socket = socketOver(new WebSocket(url, { headers: header }));
      return {
        onOpen: socket.onOpen,
        onMessage: (listener) => socket.onMessage((data) => listener({ data })),
        onClose: socket.onClose,
        onError() {},
        send: ({ data }) => socket.send(data),
        close: socket.close,
      };
    },
    getStorageSync: (key) => storage.get(key) || "",
    setStorageSync: (key, value) => storage.set(key, value),
    removeStorageSync: (key) => storage.delete(key),
    onAppShow() {},
    offAppShow() {},
    onNetworkStatusChange() {},
  };
}

/** Logs in as a new user, with gold if given. */
export async function signUp(client, name, gender, gold = 0) {
  const { appId, code } = await wechatLogin(name, gender);
  if ((await client.login({ appId, code })).status === 1) {
    await client.createUser(await wechatLogin(name, gender));
  }
  const grant = { gold, reason: "test", request_id: name };
  if (gold) await ops("POST", `users/${client.userId}/grant`, grant);
  return client;
}

/** Signs up a matchmaker and starts a live; returns its live_id. */
export async function startLive(client, name) {
  await signUp(client, name, 2);
  await ops("PATCH", `users/${client.userId}`, { is_matchmaker: true });
  return (await client.matchmakerEnter()).live_id;
}

/** Opens a room socket that records frames and connection phases; resolves after the first frame. */
export async function openRoom(client, live_id) {
  const room = client.room(live_id);
  room.phases = [];
  room.frames = [];
  room.on("connection", (now) => room.phases.push(now));
  room.on("frame", (frame) => room.frames.push(frame));
  room.open();
  await until(room, () => room.state);
  return room;
}

/** Resolves when the condition holds; checked after every frame and state change. */
export function until(room, condition) {
  return new Promise((resolve, reject) => {
    const unsubscribes = [];
    const timer = setTimeout(() => {
      unsubscribes.forEach((unsubscribe) => unsubscribe());
      const state = JSON.stringify([room.phases, room.state]);
      reject(new Error(`condition not met: ${condition}; ${state}`));
    }, WAIT_MS);
    const check = () => {
      if (!condition()) return;
      clearTimeout(timer);
      unsubscribes.forEach((unsubscribe) => unsubscribe());
      resolve();
    };
    for (const name of ["frame", "state", "connection"]) unsubscribes.push(room.on(name, check));
    check();
  });
}
