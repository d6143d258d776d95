// Signing in and buying gold, on a phone that answers as WeChat does.

import assert from "node:assert/strict";
import { test } from "node:test";

import { createClient, wxPlatform } from "../../clients/miniprogram/src/qlive.js";
import { FakeDevice, flushPromises, settle } from "./fakes.mjs";

const BASE = "https://example.com/wx/api/qlive";
const USER = { token: "t", user_id: "10000000", user_sign: "s", sdk_app_id: "1400000000" };
const KNOWN = { status: 200, json: { status: 0, login_type: 0, ...USER } };
const UNKNOWN = { status: 200, json: { status: 1, token: "", user_id: "" } };
const LOG_IN_AGAIN = { status: 401, json: { code: "log_in_again", detail: "!" } };

const balance = (gold) => ({ status: 200, json: { user_id: USER.user_id, gold } });
const order = (number) => {
  const content = JSON.stringify({ signData: `{"outTradeNo":"${number}"}`, mode: "short_series_goods" });
  return { status: 200, json: { success: "success", timestamp: "", sign: "", content } };
};

/** A phone whose payment sheet answers with these: "success", "nothing", or an errCode. */
function newPhone(answers, ...responses) {
  const device = new FakeDevice();
  device.responses.push(...responses);
  device.logins = 0;
  device.paid = [];
  const wx = {
    getAccountInfoSync: () => ({ miniProgram: { appId: "wx1" } }),
    login: ({ success }) => success({ code: `code${++device.logins}` }),
    requestVirtualPayment({ signData, success, fail }) {
      device.paid.push(JSON.parse(signData).outTradeNo);
      const answer = answers.shift();
      if (answer === "success") success({ errMsg: "requestVirtualPayment:ok" });
      else if (answer !== "nothing") fail({ errCode: answer, errMsg: "requestVirtualPayment:fail" });
    },
  };
  const { login, appId, requestPayment } = wxPlatform(wx);
  Object.assign(device.platform, { login, appId, requestPayment });
  device.client = createClient({ base: BASE, platform: device.platform });
  return device;
}

const paths = (device) => device.requests.map(({ url }) => url.slice(BASE.length + 1));

/** Runs the timers until the promise is settled; its outcome, and how long it took. */
async function outcomeOf(device, promise) {
  const outcome = settle(promise);
  const from = device.clock.now;
  for (await flushPromises(); !outcome.answer && !outcome.error; await flushPromises()) {
    device.clock.runNext();
  }
  return { ...outcome, seconds: (device.clock.now - from) / 1000 };
}

// ---- signing in

test("a known user signs in with one code, however often it is asked for at once", async () => {
  const device = newPhone([], KNOWN);
  const answers = await Promise.all(Array.from({ length: 5 }, () => device.client.signIn()));
  assert.deepEqual(new Set(answers.map(({ created, user_id }) => `${created} ${user_id}`)).size, 1);
  assert.equal(answers[0].created, false);
  assert.deepEqual(device.requests[0].data, { appId: "wx1", code: "code1" });
  assert.deepEqual([device.requests.length, device.logins, device.client.token], [1, 1, "t"]);
  device.responses.push(KNOWN);
  await device.client.signIn();
  assert.equal(device.logins, 2, "a later call is another attempt");
});

test("an unknown user is registered with the same code, and with the profile", async () => {
  const device = newPhone([], UNKNOWN, { status: 200, json: USER }, balance(0));
  const { created, sdk_app_id } = await device.client.signIn({ nickname: "新人" });
  assert.deepEqual([created, sdk_app_id], [true, "1400000000"]);
  const [login, registration, update] = device.requests.map(({ data }) => data);
  assert.deepEqual([login, update], [registration, { nickname: "新人" }]);
});

test("a failed attempt is not shared with later ones, and needs WeChat", async () => {
  const device = newPhone([], undefined, KNOWN);
  await assert.rejects(device.client.signIn(), { name: "Unreachable" });
  assert.equal((await device.client.signIn()).user_id, USER.user_id);
  const browser = createClient({ base: BASE, platform: new FakeDevice().platform });
  await assert.rejects(browser.signIn(), /only WeChat/);
  await assert.rejects(browser.buy(1), /only WeChat/);
});

// ---- buying

test("gold is bought when the server has credited it", async () => {
  const device = newPhone(["success"], balance(5), order("a"), balance(5), undefined, balance(65));
  const { answer, seconds } = await outcomeOf(device, device.client.buy(1));
  assert.deepEqual([answer, seconds], [{ state: "paid", gold: 65 }, 3.5]);
  assert.equal(device.requests[1].data.block_id, 1);
  assert.deepEqual(device.paid, ["a"]);
});

test("gold that does not come in half a minute is on its way", async () => {
  const device = newPhone(["success"], balance(5), order("a"), ...Array(6).fill(balance(5)));
  const { answer, seconds } = await outcomeOf(device, device.client.buy(1));
  assert.deepEqual([answer, seconds, device.requests.length], [{ state: "pending" }, 31.5, 8]);
});

test("a payment sheet that never answers does not hang", async () => {
  for (const [gold, state] of [[5, "pending"], [65, "paid"]]) {
    const device = newPhone(["nothing"], balance(5), order("a"), ...Array(6).fill(balance(gold)));
    const { answer, seconds } = await outcomeOf(device, device.client.buy(1));
    assert.equal(answer.state, state);
    assert.ok(seconds > 180 && seconds < 212, `${seconds}`);
  }
});

test("a cancelled payment is told apart from a failed one", async () => {
  const cancelled = newPhone([-2], balance(5), order("a"));
  assert.deepEqual(await cancelled.client.buy(1), { state: "cancelled" });
  for (const code of [-1, -4, -15013, 268490003]) {
    const failed = newPhone([code], balance(5), order("a"));
    await assert.rejects(failed.client.buy(1), { name: "PaymentFailed", code });
    assert.equal(failed.requests.length, 2);
  }
  const old = newPhone([], balance(5), order("a"));
  old.platform.requestPayment = wxPlatform({}).requestPayment;
  await assert.rejects(old.client.buy(1), { name: "PaymentFailed", code: 0, message: /too old/ });
  const refused = newPhone([], balance(5), { status: 404, json: { code: "no_such_block", detail: "!" } });
  await assert.rejects(refused.client.buy(9), { name: "Refused", code: "no_such_block" });
});

test("the payment of an order at WeChat Pay is asked for by its own call", async () => {
  const device = newPhone([], balance(5), order("a"));
  device.responses[1].json.content = JSON.stringify({ package: "prepay_id=1", timeStamp: "1" });
  const wx = { requestPayment: ({ fail }) => fail({ errMsg: "requestPayment:fail cancel" }) };
  device.platform.requestPayment = wxPlatform(wx).requestPayment;
  assert.deepEqual(await device.client.buy(1), { state: "cancelled" });
});

test("an order that is closed is ordered again, once", async () => {
  const device = newPhone([-15012, "success"], balance(5), order("a"), order("b"), balance(65));
  assert.equal((await outcomeOf(device, device.client.buy(1))).answer.state, "paid");
  assert.deepEqual(device.paid, ["a", "b"]);
  const closed = newPhone([-15012, -15012], balance(5), order("a"), order("a"));
  await assert.rejects(closed.client.buy(1), { name: "PaymentFailed", code: -15012 });
});

test("a number that was used is paid already, unless the server has another one", async () => {
  const another = newPhone([-15002, "success"], balance(5), order("a"), order("b"), balance(65));
  assert.equal((await outcomeOf(another, another.client.buy(1))).answer.state, "paid");
  assert.deepEqual(another.paid, ["a", "b"]);
  const same = newPhone([-15002], balance(5), order("a"), order("a"), balance(65));
  assert.equal((await outcomeOf(same, same.client.buy(1))).answer.state, "paid");
  assert.deepEqual(same.paid, ["a"], "nothing is paid twice");
});

test("an old session key is renewed by signing in, once", async () => {
  const device = newPhone([-15007, "success"], balance(5), order("a"), KNOWN, order("a"), balance(65));
  assert.equal((await outcomeOf(device, device.client.buy(1))).answer.state, "paid");
  assert.deepEqual([device.logins, device.paid], [1, ["a", "a"]]);
  const old = newPhone([-15007, -15007], balance(5), order("a"), KNOWN, order("a"));
  await assert.rejects(old.client.buy(1), { name: "PaymentFailed", code: -15007 });
  assert.equal(old.logins, 1);
});

test("a server without a session key has the user sign in, together with the app", async () => {
  const device = newPhone(["success"], balance(5), LOG_IN_AGAIN, KNOWN, order("a"), balance(65));
  device.platform.storage.set("qlive.session", { token: "t", user_id: USER.user_id });
  device.client = createClient({ base: BASE, platform: device.platform });
  device.client.on("signedOut", () => device.client.signIn());
  assert.equal((await outcomeOf(device, device.client.buy(1))).answer.state, "paid");
  assert.equal(device.logins, 1);
  assert.deepEqual(paths(device).slice(1), [
    ...["qlive_pay/", "qlive_user/login/", "qlive_pay/", "qlive_user/get_userinfo/"],
  ]);
});
