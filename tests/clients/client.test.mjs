import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { build } from "../../clients/miniprogram/build.mjs";
import * as qlive from "../../clients/miniprogram/src/qlive.js";
import { FakePhone } from "./fakes.mjs";
import { ANNA, BERT, snapshot } from "./rooms.mjs";

const HOME = fileURLToPath(new URL("../../clients/miniprogram/", import.meta.url));
const BASE = "https://example.com/wx/api/qlive/";
const LOGGED_IN = { status: 200, json: { status: 0, token: "t", user_id: "10000000" } };

function aPhone(...answers) {
  const phone = new FakePhone();
  phone.answers.push(...answers);
  phone.client = qlive.createClient({ base: BASE, platform: phone.platform });
  return phone;
}

test("a GET carries its parameters in the query, a POST as JSON", async () => {
  const phone = aPhone({ status: 200, json: [] }, { status: 200, json: { detail: "OK" } });
  await phone.client.getUsersInfo({ live_id: 7, gender: 2, page: undefined });
  await phone.client.applyMicro({ live_id: 7 });
  const [get, post] = phone.asked;
  assert.equal(get.url, `${BASE}qlive_user/get_users_info/?live_id=7&gender=2`);
  assert.deepEqual([get.method, get.data], ["GET", undefined]);
  assert.equal(post.url, `${BASE}qlive_room/apply_micro/`);
  assert.deepEqual([post.method, post.data], ["POST", { live_id: 7 }]);
});

test("a login is kept over a restart, and every call after it says who calls", async () => {
  const phone = aPhone(LOGGED_IN, { status: 200, json: {} });
  await phone.client.login({ appId: "a", code: "c" });
  assert.equal(phone.asked[0].headers.Authorization, undefined);
  const again = qlive.createClient({ base: BASE, platform: phone.platform });
  assert.deepEqual([again.token, again.userId], ["t", "10000000"]);
  await again.getUserState();
  assert.equal(phone.asked[1].headers.Authorization, "QLiveToken t");
});

test("who is not known yet is nobody until they become a user", async () => {
  const phone = aPhone({ status: 200, json: { status: 1, token: "", user_id: "" } }, {
    status: 200,
    json: { token: "n", user_id: "20000000" },
  });
  assert.equal((await phone.client.login({ appId: "a", code: "c" })).status, 1);
  assert.equal(phone.client.token, "");
  await phone.client.createUser({ appId: "a", code: "d", encryptedData: "e", iv: "i" });
  assert.equal(phone.client.userId, "20000000");
});

test("a logout forgets", async () => {
  const phone = aPhone(LOGGED_IN, { status: 200, json: { detail: "OK" } });
  await phone.client.login({ appId: "a", code: "c" });
  await phone.client.logout();
  assert.deepEqual([phone.client.token, phone.kept.size], ["", 0]);
});

test("a refusal has the word for programs, the fields and the seconds", async () => {
  const json = { detail: "bad", code: "bad_parameter", fields: { page: "no number" } };
  const phone = aPhone(
    { status: 400, json },
    { status: 429, json: { detail: "slow", code: "too_many" }, headers: { "retry-after": "60" } },
    { status: 200, json: { success: "failed", detail: "no", code: "why_not" } },
  );
  const bad = { name: "Refused", message: "bad", code: "bad_parameter", fields: json.fields };
  await assert.rejects(phone.client.getLivelist({ page: "x" }), bad);
  await assert.rejects(phone.client.getLivelist(), { code: "too_many", retryAfter: 60 });
  await assert.rejects(phone.client.pay({ block_id: 1 }), { status: 200, code: "why_not" });
});

test("no answer, or somebody else's page, is not an answer", async () => {
  const phone = aPhone({ status: 200, json: "<html>" }, { status: 502, json: null });
  await assert.rejects(phone.client.getConfigs(), { name: "Unreachable", status: 200 });
  await assert.rejects(phone.client.getConfigs(), { name: "Unreachable", status: 502 });
  await assert.rejects(phone.client.getConfigs(), { name: "Unreachable", message: /nobody/ });
});

test("only the news that the token is no longer good signs out", async () => {
  const no = (code) => ({ status: 401, json: { code, detail: "!" } });
  const phone = aPhone(LOGGED_IN, no("wechat_code"), no("log_in_again"), no("token"));
  const heard = [];
  phone.client.on("signedOut", ({ code }) => heard.push([code, phone.client.token]));
  await phone.client.login({ appId: "a", code: "c" });
  await assert.rejects(phone.client.login({ appId: "a", code: "c" }));
  await assert.rejects(phone.client.pay({ block_id: 1 }));
  await assert.rejects(phone.client.getUserState());
  assert.deepEqual(heard, [["log_in_again", "t"], ["token", ""]]);
});

test("a late no to an old token does not sign out who has a new one", async () => {
  const phone = aPhone(LOGGED_IN);
  await phone.client.login({ appId: "a", code: "c" });
  let answer;
  phone.platform.request = () => new Promise((resolve) => (answer = resolve));
  const asking = phone.client.getUserState();
  phone.client._session.keep({ token: "t2", user_id: "10000000" });
  answer({ status: 401, json: { code: "token", detail: "!" } });
  await assert.rejects(asking);
  assert.equal(phone.client.token, "t2");
});

test("a base that is no address is refused at once", () => {
  assert.throws(() => qlive.createClient({ base: "example.com" }), TypeError);
});

test("storage that is full, or is not there, is made up for until the app ends", async () => {
  const broken = () => {
    throw new Error("full");
  };
  const api = { getStorageSync: broken, setStorageSync: broken, removeStorageSync: broken };
  for (const { storage } of [qlive.wxPlatform(api), qlive.browserPlatform()]) {
    assert.equal(storage.get("key"), null);
    storage.set("key", { a: 1 });
    assert.deepEqual(storage.get("key"), { a: 1 });
    storage.remove("key");
    assert.equal(storage.get("key"), null);
  }
});

// ---- the mini-program's own calls

function miniProgram() {
  const kept = new Map();
  const ears = {};
  const task = { sent: [] };
  for (const name of ["onOpen", "onMessage", "onClose", "onError"]) {
    task[name] = (ear) => (ears[name] = ear);
  }
  task.send = ({ data }) => task.sent.push(data);
  task.close = () => ears.onClose({ code: 1000 });
  const wx = {
    request: (wish) => (wx.asked = wish),
    connectSocket: (wish) => ((wx.connected = wish), task),
    getStorageSync: (key) => kept.get(key) || "",
    setStorageSync: (key, value) => kept.set(key, value),
    removeStorageSync: (key) => kept.delete(key),
    onAppShow: (ear) => (ears.onAppShow = ear),
    offAppShow: () => delete ears.onAppShow,
    onNetworkStatusChange: (ear) => (ears.network = ear),
  };
  return { wx, ears, task };
}

test("in a mini-program requests go over wx.request", async () => {
  const { wx } = miniProgram();
  const client = qlive.createClient({ base: BASE, platform: qlive.wxPlatform(wx) });
  const asking = client.like({ user_id: "2", like_state: 1 });
  assert.equal(wx.asked.header["Content-Type"], "application/json");
  wx.asked.success({ statusCode: 200, data: { detail: "ok" }, header: {} });
  assert.deepEqual(await asking, { detail: "ok" });
  const failing = client.getConfigs();
  wx.asked.fail({ errMsg: "request:fail timeout" });
  await assert.rejects(failing, { name: "Unreachable", message: "request:fail timeout" });
});

test("in a mini-program a room goes over wx.connectSocket, with the token in a header", () => {
  const { wx, ears } = miniProgram();
  const platform = qlive.wxPlatform(wx);
  platform.storage.set("qlive.session", { token: "t", user_id: "10000000" });
  const client = qlive.createClient({ base: BASE, platform });
  const room = client.room(1);
  const phases = [];
  room.on("connection", ({ phase }) => phases.push(phase));
  room.open();
  assert.equal(wx.connected.header.Authorization, "QLiveToken t");
  ears.onOpen();
  ears.onMessage({ data: JSON.stringify(snapshot(3)) });
  ears.onError({ errMsg: "gone" });
  ears.onClose({ code: 1006 });
  assert.deepEqual(phases, ["connecting", "live", "reconnecting"]);
  room.close();
  assert.equal(ears.onAppShow, undefined);
});

test("a socket that WeChat refuses at once is a connection lost, and comes back later", async () => {
  const { wx, task } = miniProgram();
  wx.connectSocket = ({ fail }) => (fail({ errMsg: "url not in domain list" }), task);
  const client = qlive.createClient({ base: BASE, platform: qlive.wxPlatform(wx) });
  const room = client.room(1);
  const lost = new Promise((resolve) => {
    room.on("connection", (now) => now.phase === "reconnecting" && resolve(now));
  });
  room.open();
  const { code, reason } = await lost;
  room.close();
  assert.deepEqual([code, reason], [1006, "url not in domain list"]);
});

test("no socket at all, for there are too many, is a connection lost, and comes back later", async () => {
  const { wx } = miniProgram();
  wx.connectSocket = () => undefined;
  const client = qlive.createClient({ base: BASE, platform: qlive.wxPlatform(wx) });
  const room = client.room(1);
  const lost = new Promise((resolve) => {
    room.on("connection", (now) => now.phase === "reconnecting" && resolve(now));
  });
  room.open();
  const { code, reason } = await lost;
  room.close();
  assert.deepEqual([code, reason], [0, "WeChat gives no socket"]);
});

// ---- what is delivered

test("the one CommonJS file is the same client", async () => {
  const folder = await mkdtemp(join(tmpdir(), "qlive-"));
  try {
    build(folder);
    const built = createRequire(import.meta.url)(join(folder, "qlive.cjs"));
    assert.deepEqual(Object.keys(built).sort(), Object.keys(qlive).sort());
    const phone = new FakePhone();
    phone.answers.push(LOGGED_IN);
    const client = built.createClient({ base: BASE, platform: phone.platform });
    await client.login({ appId: "a", code: "c" });
    const room = client.room(1);
    room.open();
    phone.socket.say(snapshot(3));
    assert.equal(room.state.seq, 3);
    const text = readFileSync(join(folder, "wx", "index.js"), "utf8");
    assert.equal(text, readFileSync(join(folder, "qlive.cjs"), "utf8"));
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("a page asks for its invitation, and keeps things, as the client does", () => {
  const asked = { ...BERT, applied_at: null, invited: true, expires_at: 9 };
  const state = qlive.begin(snapshot(3, { applicants: [{ ...asked, ...ANNA, invited: false }, asked] }));
  assert.equal(qlive.invitation(state, BERT.user_id), asked);
  assert.equal(qlive.invitation({ room: state.room }, ANNA.user_id), null);
  assert.equal(qlive.invitation(null, BERT.user_id), null);
  const kept = new Map();
  const storage = qlive.storageOver(
    (key) => kept.get(key),
    (key, text) => kept.set(key, text),
    (key) => kept.delete(key),
  );
  storage.set("key", [1]);
  assert.deepEqual([kept.get("key"), storage.get("key")], ["[1]", [1]]);
});

test("the types name whatever is exported, and every call", () => {
  const types = readFileSync(join(HOME, "index.d.ts"), "utf8");
  for (const name of Object.keys(qlive)) {
    assert.match(types, new RegExp(`^export (declare )?(function|class|const) ${name}\\b`, "m"));
  }
  const client = types.slice(types.indexOf("export interface Client"));
  for (const name of Object.keys(qlive.CALLS)) assert.match(client, new RegExp(`^  ${name}\\(`, "m"));
  const room = types.slice(types.indexOf("export class RoomSocket"));
  for (const name of ["open", "close", "wake", "on"]) assert.match(room, new RegExp(`^  ${name}[<(]`, "m"));
});

test("the source needs nothing but its own modules, and nothing newer than mini-programs know", () => {
  for (const file of readdirSync(join(HOME, "src"))) {
    const text = readFileSync(join(HOME, "src", file), "utf8");
    for (const [, from] of text.matchAll(/\bfrom "([^"]+)"/g)) assert.match(from, /^\.\//);
    const code = text.replace(/"[^"\n]*"|\/\*[^]*?\*\/|\/\/.*/g, "");
    assert.doesNotMatch(code, /\?\.[\w[(]|\?\?|\s#\w+|\bstatic\b|\bglobalThis\b|\brequire\(/, file);
  }
  const { dependencies, devDependencies } = JSON.parse(readFileSync(join(HOME, "package.json")));
  assert.deepEqual([dependencies, devDependencies], [undefined, undefined]);
});
