// People with the SDK on their phones, on the real server at QLIVE_ADDRESS.

import { browserPlatform, createClient, wxPlatform } from "../../clients/miniprogram/src/qlive.js";
import { socketOver } from "../../clients/miniprogram/src/platform-browser.js";

export const ADDRESS = process.env.QLIVE_ADDRESS;
const OPS_TOKEN = process.env.QLIVE_OPS_TOKEN;
const BASE_PATH = "/wx/api/qlive";
const WAIT_MS = 8000;

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

/** What wx.login and the profile button give a phone; the code works once. */
export function wechat(name, gender = 0) {
  return post("/sim/phone/login", { name, gender });
}

/** A browser, which keeps nothing here but in memory. */
export function browser(address = ADDRESS) {
  return createClient({ base: address + BASE_PATH, platform: browserPlatform() });
}

/** A mini-program on node's network. */
export function miniProgram(address = ADDRESS, kept = new Map()) {
  return createClient({ base: address + BASE_PATH, platform: wxPlatform(playedWx(kept)) });
}

function playedWx(kept) {
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
        onMessage: (heard) => socket.onMessage((data) => heard({ data })),
        onClose: socket.onClose,
        onError() {},
        send: ({ data }) => socket.send(data),
        close: socket.close,
      };
    },
    getStorageSync: (key) => kept.get(key) || "",
    setStorageSync: (key, value) => kept.set(key, value),
    removeStorageSync: (key) => kept.delete(key),
    onAppShow() {},
    offAppShow() {},
    onNetworkStatusChange() {},
  };
}

/** Logged in as somebody new. */
export async function person(client, name, gender, gold = 0) {
  const { appId, code } = await wechat(name, gender);
  if ((await client.login({ appId, code })).status === 1) {
    await client.createUser(await wechat(name, gender));
  }
  const grant = { gold, reason: "test", request_id: name };
  if (gold) await ops("POST", `users/${client.userId}/grant`, grant);
  return client;
}

/** A matchmaker whose room is live. */
export async function host(client, name) {
  await person(client, name, 2);
  await ops("PATCH", `users/${client.userId}`, { is_matchmaker: true });
  return (await client.matchmakerEnter()).live_id;
}

/** A room's socket with a memory of its connections, opened; its first frame has come. */
export async function listen(client, live_id) {
  const room = client.room(live_id);
  room.phases = [];
  room.frames = [];
  room.on("connection", (now) => room.phases.push(now));
  room.on("frame", (frame) => room.frames.push(frame));
  room.open();
  await until(room, () => room.state);
  return room;
}

/** Waits until it is so; asked after whatever the room tells. */
export function until(room, done) {
  return new Promise((resolve, reject) => {
    const offs = [];
    const late = setTimeout(() => {
      offs.forEach((off) => off());
      const seen = JSON.stringify([room.phases, room.state]);
      reject(new Error(`it did not come: ${done}; ${seen}`));
    }, WAIT_MS);
    const look = () => {
      if (!done()) return;
      clearTimeout(late);
      offs.forEach((off) => off());
      resolve();
    };
    for (const name of ["frame", "state", "connection"]) offs.push(room.on(name, look));
    look();
  });
}
