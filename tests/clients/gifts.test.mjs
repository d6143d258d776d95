import assert from "node:assert/strict";
import { test } from "node:test";

import { createClient } from "../../clients/miniprogram/src/qlive.js";
import { FakeDevice, flushPromises, seededRandom } from "./fakes.mjs";

const BASE = "https://example.com/wx/api/qlive";
const ROSE = { user_id: "20000000", gift_id: 1 };
const GIVEN = { status: 200, json: { status: "success", gold: 5, income: 0 } };
const UNAVAILABLE = { status: 503, json: { code: "away", detail: "Later." }, headers: { "Retry-After": "2" } };
const LOGGED_IN = { token: "t", user_id: "10000000" };

function newDevice(stored = new Map([["qlive.session", JSON.stringify(LOGGED_IN)]])) {
  const device = new FakeDevice({ random: seededRandom(7), stored });
  device.client = createClient({ base: BASE, platform: device.platform });
  return device;
}

function requestIds(device) {
  return device.requests.map(({ url }) => new URL(url).searchParams.get("request_id"));
}

/** Records how the promise settles, without an unhandled rejection. */
function settle(promise) {
  const outcome = { promise };
  promise.then((answer) => (outcome.answer = answer), (error) => (outcome.error = error));
  return outcome;
}

test("every gift has its own request id and is sent as a GET with query parameters", async () => {
  const device = newDevice();
  device.responses.push(GIVEN, GIVEN);
  await device.client.pushGift(ROSE);
  await device.client.pushGift({ ...ROSE, num: 3 });
  const [first, second] = requestIds(device);
  assert.ok(first && second && first !== second && first.length <= 64);
  assert.equal(device.requests[1].method, "GET");
  const sent = Object.fromEntries(new URL(device.requests[1].url).searchParams);
  assert.deepEqual(sent, { user_id: "20000000", gift_id: "1", num: "3", request_id: second });
});

test("a gift is stored before the request and removed after the response", async () => {
  const device = newDevice();
  device.responses.push(GIVEN);
  const sending = device.client.pushGift(ROSE);
  assert.equal(device.client.gifts.pending()[0].gift_id, 1);
  assert.ok(device.stored.has("qlive.gifts"));
  await sending;
  assert.ok(!device.stored.has("qlive.gifts"));
});

test("503, network errors and server errors are retried with the same request id", async () => {
  const device = newDevice();
  const serverError = { status: 500, json: { code: "internal", detail: "!" } };
  const proxyError = { status: 502, json: "<html>" };
  device.responses.push(UNAVAILABLE, undefined, serverError, proxyError, GIVEN);
  const sending = settle(device.client.pushGift(ROSE));
  await flushPromises();
  device.clock.advance(1999);
  await flushPromises();
  assert.equal(device.requests.length, 1, "not before Retry-After");
  device.clock.advance(1);
  for (let n = 0; n < 4; n++) {
    await flushPromises();
    device.clock.advance(8000);
  }
  await flushPromises();
  assert.deepEqual(sending.answer, GIVEN.json);
  assert.equal(device.requests.length, 5);
  assert.equal(new Set(requestIds(device)).size, 1);
});

test("a refusal is final and the gift is not kept", async () => {
  const device = newDevice();
  const failed = { status: "failed", code: "insufficient_gold", detail: "There is not enough gold." };
  device.responses.push({ status: 200, json: failed });
  const refusal = { name: "Refused", code: "insufficient_gold", status: 200 };
  await assert.rejects(device.client.pushGift(ROSE), refusal);
  assert.deepEqual(device.client.gifts.pending(), []);
});

test("after the retry limit the gift stays stored and resumes with the same id after a restart", async () => {
  const device = newDevice();
  const sending = settle(device.client.pushGift(ROSE));
  while (!sending.error) {
    await flushPromises();
    device.clock.advance(1000);
  }
  assert.equal(sending.error.name, "Unanswered");
  assert.ok(device.clock.now <= 1_000_000 + 61_000);
  assert.ok(device.requests.length < 20, "few attempts in a minute");

  const later = newDevice(device.stored);
  later.responses.push(GIVEN);
  const [{ gift, answer }] = await later.client.gifts.resume();
  assert.deepEqual(answer, GIVEN.json);
  assert.deepEqual(requestIds(later), [gift.request_id]);
  assert.equal(gift.request_id, requestIds(device)[0]);
  assert.deepEqual(await later.client.gifts.resume(), []);
});

test("resume does not repeat a gift that waits for its retry", async () => {
  const device = newDevice();
  device.responses.push(UNAVAILABLE, GIVEN);
  const sending = settle(device.client.pushGift(ROSE));
  await flushPromises();
  const resumed = settle(device.client.gifts.resume());
  await flushPromises();
  assert.equal(device.requests.length, 1);
  device.clock.advance(2000);
  await flushPromises();
  assert.equal(device.requests.length, 2);
  assert.deepEqual(resumed.answer[0].answer, sending.answer);
});

test("resume retries a gift without a response immediately", async () => {
  const device = newDevice();
  const sending = settle(device.client.pushGift(ROSE));
  await flushPromises();
  assert.equal(device.requests.length, 1);
  device.responses.push(GIVEN);
  const resumed = settle(device.client.gifts.resume());
  await flushPromises();
  assert.deepEqual([sending.answer, resumed.answer[0].answer], [GIVEN.json, GIVEN.json]);
  assert.equal(new Set(requestIds(device)).size, 1);
  device.clock.advance(60_000);
  await flushPromises();
  assert.equal(device.requests.length, 2);
});

test("a forgotten gift is not retried", async () => {
  const device = newDevice();
  device.responses.push(UNAVAILABLE);
  const sending = settle(device.client.pushGift(ROSE));
  await flushPromises();
  device.client.gifts.forget(device.client.gifts.pending()[0].request_id);
  assert.deepEqual(device.client.gifts.pending(), []);
  device.clock.advance(60_000);
  await flushPromises();
  assert.deepEqual([device.requests.length, sending.error.name], [1, "Unanswered"]);
});

test("a gift survives a signed-out session and resumes after login", async () => {
  const device = newDevice();
  const unauthorized = { status: 401, json: { code: "token", detail: "Please log in." } };
  device.responses.push(unauthorized);
  const events = [];
  device.client.on("signedOut", ({ code }) => events.push(code));
  await assert.rejects(device.client.pushGift(ROSE), { name: "Refused", status: 401 });
  assert.deepEqual([events, device.client.userId], [["token"], ""]);
  assert.deepEqual(device.client.gifts.pending(), [], "without a user");
  device.responses.push({ status: 200, json: { status: 0, ...LOGGED_IN, token: "t2" } }, GIVEN);
  await device.client.login({ appId: "a", code: "c" });
  assert.equal((await device.client.gifts.resume()).length, 1);
  assert.equal(device.requests.at(-1).headers.Authorization, "QLiveToken t2");
});

test("a gift of the previous user is not sent with the new user's token", async () => {
  const device = newDevice();
  device.responses.push(UNAVAILABLE);
  const sending = settle(device.client.pushGift(ROSE));
  await flushPromises();
  device.responses.push({ status: 200, json: { status: 0, token: "o", user_id: "40000000" } });
  await device.client.login({ appId: "a", code: "c" });
  device.clock.advance(60_000);
  await flushPromises();
  assert.equal(sending.error.name, "Unanswered");
  assert.equal(device.requests.length, 2, "the gift once, and the login");
  assert.deepEqual(await device.client.gifts.resume(), []);
});

test("a gift without a login is refused without a request", async () => {
  const device = newDevice(new Map());
  await assert.rejects(device.client.pushGift(ROSE), { name: "Refused", status: 401 });
  assert.deepEqual([device.requests, device.stored.size], [[], 0]);
});
