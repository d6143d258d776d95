// The SDK against the real server at QLIVE_ADDRESS.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { browserPlatform, createClient, wxPlatform } from "../../clients/miniprogram/src/qlive.js";
import { comparable } from "./comparable.mjs";

const { QLIVE_ADDRESS: ADDRESS, QLIVE_OPS_TOKEN: OPS_TOKEN } = process.env;
const WAIT_MS = 60_000;
const OLD_SESSION_KEY = -15007;
const PIXEL = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64",
);
const rooms = [];

if (!ADDRESS || !OPS_TOKEN) {
  throw new Error(
    "QLIVE_ADDRESS and QLIVE_OPS_TOKEN must name a running server: .venv/bin/pytest tests/clients starts one.",
  );
}

after(() => rooms.forEach((room) => room.close()));

async function post(path, body, headers = {}, method = "POST") {
  const reply = await fetch(ADDRESS + path, { method, headers, body: JSON.stringify(body) });
  if (!reply.ok) throw new Error(`${path}: ${reply.status} ${await reply.text()}`);
  return reply.json();
}

const ops = (method, path, body) =>
  post(`/ops/api/${path}`, body, { Authorization: `Bearer ${OPS_TOKEN}` }, method);

/** The login data that WeChat gives a device; the code works once. */
const wechatLogin = (name, gender = 0) => post("/sim/phone/login", { name, gender });

/** A client with storage in memory. */
const newClient = () => createClient({ base: `${ADDRESS}/wx/api/qlive`, platform: browserPlatform() });

/** A client on a phone whose WeChat is simulated. */
async function newPhone(name, options = {}) {
  const miniProgram = { appId: (await wechatLogin(name)).appId };
  const phone = { codes: 0 };
  const wx = {
    getAccountInfoSync: () => ({ miniProgram }),
    async login({ success }) {
      phone.codes += 1;
      success(await wechatLogin(name));
    },
    async requestVirtualPayment({ success, fail, ...content }) {
      const { why } = await post("/sim/phone/pay", { content: JSON.stringify(content) });
      if (why === "signature") fail({ errCode: OLD_SESSION_KEY, errMsg: "requestVirtualPayment:fail" });
      else success();
    },
  };
  const { login, appId, requestPayment } = wxPlatform(wx);
  const platform = { ...browserPlatform(), login, appId, requestPayment };
  phone.client = createClient({ base: `${ADDRESS}/wx/api/qlive`, platform, ...options });
  return phone;
}

/** Logs in as a new user, with gold if given. */
async function signUp(client, name, gender, gold = 0) {
  const { appId, code } = await wechatLogin(name, gender);
  assert.equal((await client.login({ appId, code })).status, 1);
  await client.createUser(await wechatLogin(name, gender));
  const grant = { gold, reason: "test", request_id: name };
  if (gold) await ops("POST", `users/${client.userId}/grant`, grant);
  return client;
}

/** A room socket that has received its first frame. */
async function openRoom(client, live_id) {
  const room = client.room(live_id);
  rooms.push(room);
  room.open();
  await until(room, () => room.state);
  return room;
}

/** Resolves when the condition holds; checked after every change of the state. */
function until(room, condition) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`condition not met: ${condition}; ${JSON.stringify(room.state)}`)),
      WAIT_MS,
    );
    const check = () => {
      if (!condition()) return;
      clearTimeout(timer);
      unsubscribe();
      resolve();
    };
    const unsubscribe = room.on("state", check);
    check();
  });
}

test("the calls of an account work, from login to logout", async () => {
  const client = await signUp(newClient(), "newcomer", 2);
  const { appId, code } = await wechatLogin("newcomer");
  const login = await client.login({ appId, code });
  assert.deepEqual([login.status, login.user_id], [0, client.userId]);
  const changed = await client.updateUserinfo({ nickname: "新人", age: "25" });
  assert.deepEqual([changed.nickname, changed.age], ["新人", 25]);
  assert.equal((await client.getUserinfo()).nickname, "新人");
  assert.ok(Array.isArray(await client.getLivelist({ page: 1 })));
  assert.ok((await client.getConfigs()).PROGRAM_SHARE);
  const [block] = await client.getBlocks();
  const order = await client.pay({ block_id: block.id });
  assert.ok(order.sign && order.timestamp && order.content);
  const request = client.withdraw({ income: 100, request_id: "r1" });
  await assert.rejects(request, { code: "income_not_matured", status: 409 });
  const list = { matured: 0, items: [], page: 1, has_more: false };
  assert.deepEqual(await client.withdrawals(), list);
  const cancel = client.cancelWithdrawal({ withdrawal_id: "W" + "0".repeat(28) });
  await assert.rejects(cancel, { code: "no_such_withdrawal" });

  const { token } = client;
  await client.logout();
  assert.deepEqual([client.token, client.userId], ["", ""]);
  client._session.save({ token, user_id: "1" });
  await assert.rejects(client.getUserState(), { status: 401, code: "token" });
});

test("the calls of a room work, and a folded room equals a fresh snapshot", async () => {
  const [host, guest] = [await signUp(newClient(), "host", 2), await signUp(newClient(), "guest", 1, 100)];
  await ops("PATCH", `users/${host.userId}`, { is_matchmaker: true });
  const { live_id } = await host.matchmakerEnter();
  await guest.getPlayurl({ live_id });
  const [hostRoom, guestRoom] = [await openRoom(host, live_id), await openRoom(guest, live_id)];
  const invited = new Promise((resolve) => guestRoom.on("invited", resolve));
  await host.inviteMicro({ live_id, user_id: guest.userId });
  assert.equal((await invited).user_id, guest.userId);
  await guest.refuseMicro({ live_id });
  await guest.applyMicro({ live_id });
  await until(hostRoom, () => hostRoom.state.room.applicants.length);
  assert.deepEqual((await host.getUsersInfo({ live_id, gender: 1 })).map(({ state }) => state), [1]);
  await host.inviteMicro({ live_id, user_id: guest.userId });
  assert.match((await guest.acceptMicro({ live_id })).push_url, /^rtmp:/);
  assert.equal((await guest.getGifts()).results[0].id, 1);
  await guest.pushGift({ user_id: host.userId, gift_id: 1, num: 9 });
  await guest.updateUserinfo({ nickname: "先生" });
  await until(hostRoom, () => hostRoom.state.room.male?.nickname === "先生");
  await until(guestRoom, () => guestRoom.state.seq === hostRoom.state.seq);
  assert.deepEqual(comparable(hostRoom.state.room), comparable(guestRoom.state.room));
  const viewer = await signUp(newClient(), "viewer", 0);
  await viewer.getPlayurl({ live_id });
  const fresh = (await openRoom(viewer, live_id)).state.room;
  assert.deepEqual(comparable(hostRoom.state.room), comparable(fresh));

  for (const client of [guest, host]) await client.updateUserinfo({ show_in_ranking: true });
  for (const ranking of [await guest.rank({ live_id }), await guest.dayRank()]) {
    assert.ok(ranking.senders.some(({ user_id }) => user_id === guest.userId));
    assert.ok(ranking.takings.some(({ user_id }) => user_id === host.userId));
  }
  await guest.like({ user_id: host.userId, like_state: 1 });
  assert.deepEqual(await guest.getLike({ user_id: host.userId }), { like_state: 1 });
  await guest.leaveMicro({ live_id });
  assert.equal((await guest.getUserState()).user_type, 1);
  await guest.leaveRoom({ live_id });
  assert.equal((await guest.getUserState()).live_id, "");
});

test("a face and a cover are uploaded and shown at other addresses", async () => {
  const { client: host } = await newPhone("photographer");
  await host.signIn({ nickname: "红娘", gender: 2 });
  const picture = new Blob([PIXEL], { type: "image/png" });
  const { face_url } = await host.uploadFace(picture);
  const shown = await fetch(face_url);
  assert.equal(shown.headers.get("Content-Type"), "image/png");
  assert.deepEqual(Buffer.from(await shown.arrayBuffer()), PIXEL);
  await ops("PATCH", `users/${host.userId}`, { is_matchmaker: true });
  const { live_id } = await host.matchmakerEnter();
  assert.deepEqual(await host.uploadCover(live_id, picture), { detail: "OK" });
  const row = (await host.getLivelist()).find(({ id }) => id === live_id);
  assert.match(row.room_image, /pictures\/cover/);
  const empty = new Blob([], { type: "image/png" });
  await assert.rejects(host.uploadFace(empty), { name: "Refused", code: "bad_parameter" });
  await host.liveEnd({ live_id });
});

test("a purchase after another device has signed in renews the session key first", async () => {
  const phone = await newPhone("traveller");
  await phone.client.signIn();
  await wechatLogin("traveller"); // makes the server's session key an old one
  const [block] = await phone.client.getBlocks();
  assert.deepEqual(await phone.client.buy(block.id), { state: "paid", gold: block.gold });
  assert.equal(phone.codes, 2);
});

test("a phone that wakes beside a dead connection goes on with a second one", async () => {
  const [host, viewer] = [await signUp(newClient(), "awake host", 2), await signUp(newClient(), "sleeper", 1)];
  await ops("PATCH", `users/${host.userId}`, { is_matchmaker: true });
  const { live_id } = await host.matchmakerEnter();
  await viewer.getPlayurl({ live_id });
  const platform = browserPlatform();
  const sockets = [];
  const connectSocket = (url, options) => {
    const socket = platform.connectSocket(url, options);
    const state = { dead: false };
    sockets.push(state);
    const unless = (listen) => (event) => state.dead || listen(event);
    const [onMessage, onClose] = [(listen) => socket.onMessage(unless(listen)), (listen) => socket.onClose(unless(listen))];
    return { ...socket, onMessage, onClose };
  };
  const client = createClient({ base: `${ADDRESS}/wx/api/qlive`, platform: { ...platform, connectSocket } });
  client._session.save({ token: viewer.token, user_id: viewer.userId });
  const room = await openRoom(client, live_id);
  sockets[0].dead = true; // neither a frame nor its end reaches the phone
  await host.updateRoom({ live_id, room_name: "later" });
  const phases = [];
  const resumed = new Promise((resolve) => {
    room.on("connection", ({ phase }) => phases.push(phase) && phase === "resumed" && resolve());
  });
  room.wake();
  await resumed;
  assert.equal(room.state.room.room_name, "later");
  assert.deepEqual([phases, sockets.length], [["resumed"], 2]);
});

test("a phone whose token is revoked goes on after one sign-in, in calls and in the room", async () => {
  const phone = await newPhone("revoked", { signInAgain: true });
  const { client } = phone;
  await client.signIn({ nickname: "revoked" });
  const host = await signUp(newClient(), "host of revoked", 2);
  await ops("PATCH", `users/${host.userId}`, { is_matchmaker: true });
  const { live_id } = await host.matchmakerEnter();
  await client.getPlayurl({ live_id });
  const room = await openRoom(client, live_id);
  const closed = new Promise((resolve) => room.on("connection", ({ code }) => code === 4401 && resolve()));
  const resumed = new Promise((resolve) => room.on("connection", ({ phase }) => phase === "resumed" && resolve()));
  const codes = phone.codes;
  await ops("DELETE", `users/${client.userId}/sessions`, { reason: "test" });
  await closed;
  await Promise.all([resumed, client.getUserState()]);
  assert.equal(phone.codes, codes + 1);
});
