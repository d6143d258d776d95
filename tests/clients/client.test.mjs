import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { failureOf } from "../../clients/miniprogram/src/withdrawals.js";
import { backoffDelay, retryDelay } from "../../clients/miniprogram/src/backoff.js";
import * as qlive from "../../clients/miniprogram/src/qlive.js";
import { FakeDevice, flushPromises, settle } from "./fakes.mjs";
import { ANNA, BERT, snapshot } from "./frames.mjs";

const SDK = fileURLToPath(new URL("../../clients/miniprogram/", import.meta.url));
const BASE = "https://example.com/wx/api/qlive/";
const LOGGED_IN = { status: 200, json: { status: 0, token: "t", user_id: "10000000" } };
const OK = { status: 200, json: { detail: "OK" } };

const refused = (status, code) => ({ status, json: { code, detail: "!" } });
const limited = (seconds, status = 429) => ({ ...refused(status, "too_many"), headers: { "Retry-After": String(seconds) } });

function newDevice(...responses) {
  return deviceWith({}, ...responses);
}

function deviceWith(options, ...responses) {
  const device = new FakeDevice();
  device.responses.push(...responses);
  if (options.signInAgain) device.platform.login = async () => "code";
  device.client = qlive.createClient({ base: BASE, platform: device.platform, ...options });
  return device;
}

/** A device that is logged in, with further responses. */
async function loggedIn(...responses) {
  const device = newDevice(LOGGED_IN, ...responses);
  await device.client.login({ appId: "a", code: "c" });
  return device;
}

test("a GET carries its parameters in the query, a POST as JSON", async () => {
  const device = newDevice({ status: 200, json: [] }, { status: 200, json: { detail: "OK" } });
  await device.client.getUsersInfo({ live_id: 7, gender: 2, page: undefined });
  await device.client.applyMicro({ live_id: 7 });
  const [get, post] = device.requests;
  assert.equal(get.url, `${BASE}qlive_user/get_users_info/?live_id=7&gender=2`);
  assert.deepEqual([get.method, get.data], ["GET", undefined]);
  assert.equal(post.url, `${BASE}qlive_room/apply_micro/`);
  assert.deepEqual([post.method, post.data], ["POST", { live_id: 7 }]);
});

test("an order carries the system of the device, if the platform knows it", async () => {
  const order = { status: 200, json: { success: "success" } };
  for (const [api, system] of [
    [{ getDeviceInfo: () => ({ platform: "ios" }) }, "ios"],
    [{ getSystemInfoSync: () => ({ platform: "android" }) }, "android"],
    [{}, undefined],
  ]) {
    const device = newDevice(order);
    device.platform.system = qlive.wxPlatform(api).system;
    await device.client.pay({ block_id: 1 });
    assert.equal(device.requests[0].data.platform, system);
  }
});

test("a withdrawal is confirmed on WeChat's page and then read from the server", async () => {
  const list = { status: 200, json: { matured: 0, items: [], page: 1, has_more: false } };
  const device = newDevice(list);
  const calls = [];
  const requestMerchantTransfer = ({ success, fail, ...transfer }) => {
    calls.push(transfer);
    if (transfer.package === "stale") fail({ errMsg: "package_info" });
    else success();
  };
  const transfer = { mch_id: "m", app_id: "a", package_info: "p" };
  await assert.rejects(device.client.confirmWithdrawal(transfer), /only WeChat/);
  device.platform.confirmTransfer = qlive.wxPlatform({}).confirmTransfer;
  await assert.rejects(device.client.confirmWithdrawal(transfer), /too old/);
  device.platform.confirmTransfer = qlive.wxPlatform({ requestMerchantTransfer }).confirmTransfer;
  await assert.rejects(device.client.confirmWithdrawal({ ...transfer, package_info: "" }), /wait/);
  await assert.rejects(device.client.confirmWithdrawal({ ...transfer, package_info: "stale" }), /package/);
  assert.deepEqual(await device.client.confirmWithdrawal(transfer), list.json);
  assert.deepEqual(calls[1], { mchId: "m", appId: "a", package: "p" });
  assert.equal(device.requests.length, 1);
});

test("a follow asks for a notice in the same tap, if there is a template, and whatever WeChat answers", async () => {
  const answer = { status: 200, json: { followed: true, followers: 1 } };
  const asked = [];
  let reply;
  const requestSubscribeMessage = ({ tmplIds, success, fail }) => {
    asked.push(tmplIds);
    if (reply) success({ errMsg: "ok", [tmplIds[0]]: reply });
    else fail({ errMsg: "not within a tap", errCode: 20001 });
  };
  for (const [options, api, agrees] of [
    [{}, { requestSubscribeMessage }, false],
    [{ noticeTemplateId: "n" }, null, false],
    [{ noticeTemplateId: "n" }, {}, false],
    [{ noticeTemplateId: "n" }, { requestSubscribeMessage }, false],
  ]) {
    const device = deviceWith(options, answer, answer);
    if (api) device.platform.askForNotice = qlive.wxPlatform(api).askForNotice;
    const following = device.client.follow({ user_id: "1", on: true });
    assert.equal(asked.length, api && api.requestSubscribeMessage && options.noticeTemplateId ? 1 : 0, "before any answer");
    assert.deepEqual(await following, answer.json);
    await device.client.follow({ user_id: "1", on: false });
    assert.deepEqual(device.requests.map(({ data }) => data.on), [true, false]);
    assert.equal(await device.client.askForNotice(), agrees);
  }
  assert.deepEqual(asked, [["n"], ["n"]]);
  const device = deviceWith({ noticeTemplateId: "n" });
  device.platform.askForNotice = qlive.wxPlatform({ requestSubscribeMessage }).askForNotice;
  for (const [word, agrees] of [["accept", true], ["acceptWithAudio", true], ["reject", false], ["ban", false]]) {
    reply = word;
    assert.equal(await device.client.askForNotice(), agrees, word);
  }
});

test("a private message is shared and entered with by WeChat, whose proof may need a new login", async () => {
  const entry = { status: 200, json: { live_id: 7 } };
  const refusals = ["log_in_again", "invitation_invalid"].map((code, n) => refused(401 + 2 * n, code));
  const device = newDevice(refusals[0], LOGGED_IN, entry, refusals[1]);
  const { client, platform } = device;
  await assert.rejects(client.shareInvitation({ activity_id: "a1" }), /only WeChat/);
  await assert.rejects(client.enterWithTicket("t1", "s1"), /only WeChat/);
  const calls = [];
  const wx = {
    login: ({ success }) => success({ code: "c" }),
    getAccountInfoSync: () => ({ miniProgram: { appId: "a" } }),
    updateShareMenu: ({ success, fail, ...menu }) => success(calls.push(menu)),
    authPrivateMessage({ shareTicket, success }) {
      calls.push(shareTicket);
      success({ valid: true, encryptedData: "e" + calls.length, iv: "i" });
    },
  };
  const { sharePrivately, authPrivateMessage, login, appId } = qlive.wxPlatform(wx);
  Object.assign(platform, { sharePrivately, authPrivateMessage, login, appId });
  await client.shareInvitation({ activity_id: "a1" });
  assert.equal((await client.enterWithTicket("t1", "s1")).live_id, 7);
  await assert.rejects(client.enterWithTicket("t2"), { code: "invitation_invalid" });
  assert.deepEqual(calls, [{ withShareTicket: true, isPrivateMessage: true, activityId: "a1" }, "s1", "s1"]);
  const entries = device.requests.filter(({ url }) => url.includes("playurl"));
  assert.deepEqual(entries.map(({ url }) => Object.fromEntries(new URL(url).searchParams)), [
    { ticket: "t1", encryptedData: "e2", iv: "i" },
    { ticket: "t1", encryptedData: "e3", iv: "i" },
    { ticket: "t2" },
  ]);
});

test("a login survives a restart and authorizes later requests until the logout", async () => {
  const device = await loggedIn({ status: 200, json: {} }, OK);
  assert.equal(device.requests[0].headers.Authorization, undefined);
  const again = qlive.createClient({ base: BASE, platform: device.platform });
  assert.deepEqual([again.token, again.userId], ["t", "10000000"]);
  await again.getUserState();
  assert.equal(device.requests[1].headers.Authorization, "QLiveToken t");
  await again.logout();
  assert.deepEqual([again.token, device.stored.size], ["", 0]);
});

test("Refused carries code, fields and retryAfter", async () => {
  const json = { detail: "bad", code: "bad_parameter", fields: { page: "no number" } };
  const device = newDevice(
    { status: 400, json },
    { status: 429, json: { detail: "slow", code: "too_many" }, headers: { "retry-after": "60" } },
    { status: 200, json: { success: "failed", detail: "no", code: "why_not" } },
  );
  const badParameter = { name: "Refused", message: "bad", code: "bad_parameter", fields: json.fields };
  await assert.rejects(device.client.getLivelist({ page: "x" }), badParameter);
  await assert.rejects(device.client.getLivelist(), { code: "too_many", retryAfter: 60 });
  await assert.rejects(device.client.pay({ block_id: 1 }), { status: 200, code: "why_not" });
});

test("a call that is refused for some seconds is sent again after them, twice", async () => {
  for (const [status, last] of [[429, OK], [503, OK], [429, limited(2)]]) {
    const device = newDevice(limited(4, status), limited(1, status), last);
    const call = settle(device.client.applyMicro({ live_id: 7 }));
    await flushPromises();
    device.clock.advance(3999);
    await flushPromises();
    assert.equal(device.requests.length, 1);
    device.clock.advance(501);
    await flushPromises();
    device.clock.advance(3000);
    await flushPromises();
    assert.deepEqual(device.requests.map(({ data }) => data), Array(3).fill({ live_id: 7 }));
    assert.deepEqual(call.answer, last === OK ? OK.json : undefined);
    assert.equal(call.error?.retryAfter, last === OK ? undefined : 2);
  }
});

test("the delay is random, at least 100 ms, and its maximum doubles from half a second to 20 seconds", () => {
  const longest = [0, 1, 2, 3, 4, 5, 6, 7, 1000].map((failures) => backoffDelay(failures, () => 1));
  assert.deepEqual(longest, [500, 1000, 2000, 4000, 8000, 16000, 20000, 20000, 20000]);
  assert.equal(backoffDelay(5, () => 0.5), 8000);
  assert.equal(backoffDelay(5, () => 0), 100);
});

test("the first delay is that of the server, later ones the longer of its and the backoff", () => {
  for (const [failures, asked, delay] of [[0, 7000, 7000], [0, 20, 100], [3, 1000, 4000], [3, 9000, 9000]]) {
    assert.equal(retryDelay(failures, asked, () => 1), delay);
  }
  for (const invalid of [0, undefined, NaN, -5]) assert.equal(retryDelay(2, invalid, () => 1), 2000);
});

test("logins, orders and long delays are not retried", async () => {
  for (const [name, seconds] of [["login", 1], ["createUser", 1], ["pay", 1], ["applyMicro", 6], ["rank", 0]]) {
    const device = newDevice(limited(seconds));
    await assert.rejects(device.client[name]({}), { code: "too_many", retryAfter: seconds });
    assert.equal(device.requests.length, 1);
  }
});

test("a call that waits is not sent as the user who has logged in meanwhile", async () => {
  const device = await loggedIn(limited(1), OK);
  const call = settle(device.client.applyMicro({ live_id: 7 }));
  await flushPromises();
  device.client._session.save({ token: "t2", user_id: "20000000" });
  device.clock.advance(1500);
  await flushPromises();
  assert.equal(call.error.code, "too_many");
  assert.equal(device.requests.length, 2);
});

test("no response or a body that is not JSON raises Unreachable, and a base that is no URL TypeError", async () => {
  assert.throws(() => qlive.createClient({ base: "example.com" }), TypeError);
  const device = newDevice({ status: 200, json: "<html>" }, { status: 502, json: null });
  await assert.rejects(device.client.getConfigs(), { name: "Unreachable", status: 200 });
  await assert.rejects(device.client.getConfigs(), { name: "Unreachable", status: 502 });
  await assert.rejects(device.client.getConfigs(), { name: "Unreachable", message: /no response/ });
});

test("only a 401 for the token signs out", async () => {
  const codes = ["wechat_code", "log_in_again", "token"];
  const device = await loggedIn(...codes.map((code) => refused(401, code)));
  const events = [];
  device.client.on("signedOut", ({ code }) => events.push([code, device.client.token]));
  await assert.rejects(device.client.login({ appId: "a", code: "c" }));
  await assert.rejects(device.client.pay({ block_id: 1 }));
  await assert.rejects(device.client.getUserState());
  assert.deepEqual(events, [["log_in_again", "t"], ["token", ""]]);
});

/** A device that signs in again, with its events; its token t was refused once for each of `calls`. */
async function refusedDevice(...responses) {
  const device = deviceWith({ signInAgain: true, appId: "a" }, LOGGED_IN, ...responses);
  device.events = [];
  device.client.on("signedOut", (reason) => device.events.push(reason.code));
  await device.client.login({ appId: "a", code: "c" });
  device.requests.length = 0;
  return device;
}

const LOGGED_IN_AGAIN = { status: 200, json: { status: 0, token: "t2", user_id: "10000000" } };
const pathsOf = ({ requests }) => requests.map(({ url }) => url.slice(BASE.length).split("?")[0]);

test("a refused token is replaced by one sign-in, and the calls are sent once more", async () => {
  const device = await refusedDevice(refused(401, "token"), refused(401, "token"), LOGGED_IN_AGAIN, OK, OK);
  const { client } = device;
  const calls = [client.applyMicro({ live_id: 7 }), client.pushGift({ user_id: "2", gift_id: 1 })];
  assert.deepEqual(await Promise.all(calls), [OK.json, OK.json]);
  const [apply, gift, login, ...again] = device.requests;
  assert.deepEqual(login.data, { appId: "a", code: "code" });
  assert.deepEqual(again.map(({ url }) => url), [apply.url, gift.url], "the gift with its request_id");
  assert.deepEqual(again.map(({ headers }) => headers.Authorization), Array(2).fill("QLiveToken t2"));
  assert.deepEqual(device.events, []);
});

test("an order is not sent again after the sign-in, nor is a call as another user", async () => {
  const device = await refusedDevice(refused(401, "token"), LOGGED_IN_AGAIN);
  await assert.rejects(device.client.pay({ block_id: 1 }), { code: "token" });
  assert.deepEqual([pathsOf(device), device.client.token], [["qlive_pay/", "qlive_user/login/"], "t2"]);
  const other = { status: 200, json: { status: 0, token: "t3", user_id: "20000000" } };
  device.responses.push(refused(401, "token"), other);
  await assert.rejects(device.client.applyMicro({ live_id: 7 }), { code: "token" });
  assert.deepEqual(device.events, []);
});

test("only a sign-in that is refused signs out, with its error", async () => {
  const unknown = { status: 200, json: { status: 1 } };
  for (const [answer, error, events] of [
    [refused(403, "banned"), { code: "banned" }, ["banned"]],
    [unknown, { code: "token" }, ["token"]],
    [limited(9), { code: "too_many" }, []],
    [undefined, { name: "Unreachable" }, []],
  ]) {
    const device = await refusedDevice(refused(401, "token"), answer);
    await assert.rejects(device.client.getUserState(), error);
    assert.deepEqual([device.events, device.client.token], [events, events.length ? "" : "t"]);
    assert.equal(device.requests.length, 2, "an unknown user is not registered");
  }
});

test("without a token nobody is signed in again, and a logout lasts", async () => {
  const device = await refusedDevice(refused(401, "token"), refused(401, "token"));
  assert.deepEqual(await device.client.logout(), OK.json, "the session had ended before");
  assert.equal(device.client.token, "");
  await assert.rejects(device.client.getLivelist(), { code: "token" });
  assert.deepEqual([pathsOf(device), device.events], [["qlive_user/logout/", "get_livelist/"], []]);
});

test("a sign-in whose profile is refused ends, and one during another registers by itself", async () => {
  const unknown = { status: 200, json: { status: 1 } };
  const created = { status: 200, json: { token: "t4", user_id: "40000000" } };
  const device = await refusedDevice(unknown, created, refused(401, "token"));
  await assert.rejects(device.client.signIn({ nickname: "n" }), { code: "token" });
  device.responses.push(refused(401, "token"), unknown, unknown, created);
  const call = settle(device.client.getUserState());
  await flushPromises();
  assert.equal((await device.client.signIn()).created, true);
  await flushPromises();
  assert.equal(call.error.code, "token");
});

test("a log hook that throws fails no call", async () => {
  const log = () => {
    throw new Error("mine");
  };
  const device = deviceWith({ log }, OK);
  assert.deepEqual(await device.client.applyMicro({ live_id: 7 }), OK.json);
  assert.throws(() => device.clock.runNext(), /mine/);
});

test("an error carries the id of its request, and the log each call and failure", async () => {
  const lines = [];
  const log = (level, message, data) => lines.push([level, message, data.name, data.requestId]);
  const headers = { "x-request-id": "r1" };
  const device = deviceWith({ log }, OK, { ...refused(409, "seat_taken"), headers }, { status: 502, json: null, headers });
  await device.client.applyMicro({ live_id: 7 });
  const error = await device.client.acceptMicro({ live_id: 7 }).catch((reason) => reason);
  assert.equal(error.requestId, "r1");
  assert.deepEqual([undefined, "seat_taken", "not_live"].map((code) => qlive.isRefused(error, code)), [true, true, false]);
  assert.ok(!qlive.isRefused(new Error("seat_taken")) && !qlive.isRefused(undefined));
  await assert.rejects(device.client.getConfigs(), { name: "Unreachable", requestId: "r1" });
  assert.deepEqual(lines, [
    ["debug", "call", "applyMicro", undefined],
    ["warn", "call failed", "acceptMicro", "r1"],
    ["warn", "call failed", "getConfigs", "r1"],
  ]);
});

test("a listener is removed by off, by what on returns, or after one event", () => {
  const { client } = newDevice();
  const heard = [];
  const listeners = [1, 2, 3, 4].map((n) => () => heard.push(n));
  client.on("signedOut", listeners[0]);
  client.once("signedOut", listeners[1]);
  client.once("signedOut", listeners[2]);
  const remove = client.on("signedOut", listeners[3]);
  client.off("signedOut", listeners[2]);
  client.emit("signedOut");
  remove();
  client.emit("signedOut");
  client.off("signedOut", listeners[0]);
  client.emit("signedOut");
  assert.deepEqual(heard, [1, 2, 4, 1]);
});

test("a late 401 for an old token does not sign out a new session", async () => {
  const device = await loggedIn();
  let respond;
  device.platform.request = () => new Promise((resolve) => (respond = resolve));
  const response = device.client.getUserState();
  device.client._session.save({ token: "t2", user_id: "10000000" });
  respond(refused(401, "token"));
  await assert.rejects(response);
  assert.equal(device.client.token, "t2");
});

test("storage falls back to memory when it is full or missing", () => {
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

// ---- the wx platform

function miniProgram() {
  const stored = new Map();
  const listeners = {};
  const task = { sent: [] };
  for (const name of ["onOpen", "onMessage", "onClose", "onError"]) {
    task[name] = (listener) => (listeners[name] = listener);
  }
  task.send = ({ data }) => task.sent.push(data);
  task.close = () => listeners.onClose({ code: 1000 });
  const wx = {
    request: (options) => (wx.lastRequest = options),
    connectSocket: (options) => ((wx.socketOptions = options), task),
    getStorageSync: (key) => stored.get(key) || "",
    setStorageSync: (key, value) => stored.set(key, value),
    removeStorageSync: (key) => stored.delete(key),
    onAppShow: (listener) => (listeners.onAppShow = listener),
    offAppShow: () => delete listeners.onAppShow,
    onNetworkStatusChange: (listener) => (listeners.network = listener),
  };
  return { wx, listeners, task };
}

test("the wx platform sends requests with wx.request", async () => {
  const { wx } = miniProgram();
  const client = qlive.createClient({ base: BASE, platform: qlive.wxPlatform(wx) });
  const response = client.like({ user_id: "2", like_state: 1 });
  assert.equal(wx.lastRequest.header["Content-Type"], "application/json");
  wx.lastRequest.success({ statusCode: 200, data: { detail: "ok" }, header: {} });
  assert.deepEqual(await response, { detail: "ok" });
  const failing = client.getConfigs();
  wx.lastRequest.fail({ errMsg: "request:fail timeout" });
  await assert.rejects(failing, { name: "Unreachable", message: "request:fail timeout" });
});

test("the wx platform opens sockets with wx.connectSocket and a token header", () => {
  const { wx, listeners } = miniProgram();
  const platform = qlive.wxPlatform(wx);
  platform.storage.set("qlive.session", { token: "t", user_id: "10000000" });
  const client = qlive.createClient({ base: BASE, platform });
  const room = client.room(1);
  const phases = [];
  room.on("connection", ({ phase }) => phases.push(phase));
  room.open();
  assert.equal(wx.socketOptions.header.Authorization, "QLiveToken t");
  listeners.onOpen();
  listeners.onMessage({ data: JSON.stringify(snapshot(3)) });
  listeners.onError({ errMsg: "gone" });
  listeners.onClose({ code: 1006 });
  assert.deepEqual(phases, ["connecting", "live", "reconnecting"]);
  room.close();
  assert.equal(listeners.onAppShow, undefined);
});

test("a socket that wx refuses, or does not return, counts as a lost connection", async () => {
  for (const [connectSocket, code, reason] of [
    [({ fail }) => (fail({ errMsg: "not in domain list" }), miniProgram().task), 1006, "not in domain list"],
    [() => undefined, 0, "wx.connectSocket returned no socket"],
  ]) {
    const platform = qlive.wxPlatform({ ...miniProgram().wx, connectSocket });
    const room = qlive.createClient({ base: BASE, platform }).room(1);
    const lost = new Promise((resolve) => {
      room.on("connection", (now) => now.phase === "reconnecting" && resolve([now.code, now.reason]));
    });
    room.open();
    assert.deepEqual(await lost, [code, reason]);
    room.close();
  }
});

// ---- package

test("index.d.ts declares every export", () => {
  const types = readFileSync(join(SDK, "index.d.ts"), "utf8");
  for (const name of Object.keys(qlive)) {
    assert.match(types, new RegExp(`^export (declare )?(function|class|const) ${name}\\b`, "m"));
  }
  const room = types.slice(types.indexOf("export class RoomSocket"));
  for (const name of ["open", "close", "wake", "on", "once", "off"]) {
    assert.match(room, new RegExp(`^  ${name}[:(]`, "m"));
  }
});

test("the source imports only its own modules and uses no newer syntax than mini-programs support", () => {
  for (const file of readdirSync(join(SDK, "src"))) {
    const text = readFileSync(join(SDK, "src", file), "utf8");
    for (const [, from] of text.matchAll(/\bfrom "([^"]+)"/g)) assert.match(from, /^\.\//);
    const code = text.replace(/"[^"\n]*"|\/\*[^]*?\*\/|\/\/.*/g, "");
    assert.doesNotMatch(code, /\?\.[\w[(]|\?\?|\s#\w+|\bstatic\b|\bglobalThis\b|\brequire\(/, file);
  }
  assert.equal(JSON.parse(readFileSync(join(SDK, "package.json"))).dependencies, undefined);
});

test("all gifts are read page by page, the cheapest first", async () => {
  const pageOf = (next, ...golds) => ({ status: 200, json: { next, results: golds.map((gold) => ({ gold })) } });
  const { client, requests } = newDevice(pageOf("2", 9, 1), pageOf(null, 5));
  assert.deepEqual((await client.allGifts()).map(({ gold }) => gold), [1, 5, 9]);
  assert.deepEqual(requests.map(({ url }) => url.split("?")[1]), ["page=1", "page=2"]);
});

test("the failure of a withdrawal is one of a few", () => {
  for (const [fail_reason, reason, failure] of [
    ["", "", ""],
    ["", "looks odd", ""],
    ["", "cancelled", "cancelled"],
    ["", "refund_case", "refund_case"],
    ["MCH_CANCEL", "cancelled", "cancelled"],
    ["REAL_NAME_CHECK_FAIL", "", "name"],
    ["DAY_RECEIVED_QUOTA_EXCEED", "", "limit"],
    ["BLOCK_B2C_USERLIMITAMOUNT_MONTH", "", "limit"],
    ["OVERDUE_CLOSE", "", "expired"],
    ["PAYER_ACCOUNT_ABNORMAL", "", "platform"],
    ["ANYTHING", "", "other"],
  ]) {
    assert.equal(failureOf({ fail_reason, reason }), failure);
  }
});
