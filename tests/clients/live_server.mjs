// SDK clients of the server at QLIVE_ADDRESS, directly or through a proxy.

import { once } from "node:events";
import { connect, createServer } from "node:net";

import { browserPlatform, createClient } from "../../clients/miniprogram/src/qlive.js";

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

function ops(method, path, body) {
  return post(`/ops/api/${path}`, body, { Authorization: `Bearer ${OPS_TOKEN}` }, method);
}

/** The login data that WeChat gives a device; the code works once. */
export function wechatLogin(name, gender = 0) {
  return post("/sim/phone/login", { name, gender });
}

/** A client with storage in memory. */
export function newClient(address = ADDRESS) {
  return createClient({ base: address + BASE_PATH, platform: browserPlatform() });
}

/** A TCP proxy in front of the server, whose connections can be cut. */
export class Proxy {
  constructor() {
    this.refuses = false;
    this._sockets = new Set();
    this._server = createServer((socket) => this._tunnel(socket));
  }

  async start() {
    await once(this._server.listen(0, "127.0.0.1"), "listening");
    this.address = `http://127.0.0.1:${this._server.address().port}`;
    return this;
  }

  cut() {
    for (const socket of this._sockets) socket.destroy();
  }

  stop() {
    this.cut();
    this._server.close();
  }

  _tunnel(socket) {
    socket.on("error", () => {});
    if (this.refuses) {
      socket.destroy();
      return;
    }
    const { hostname, port } = new URL(ADDRESS);
    const server = connect(port, hostname);
    server.on("error", () => socket.destroy());
    server.on("close", () => socket.destroy());
    socket.on("close", () => server.destroy());
    this._sockets.add(socket);
    socket.pipe(server).pipe(socket);
  }
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
