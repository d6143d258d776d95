import assert from "node:assert/strict";
import { test } from "node:test";

import { createClient } from "../../clients/miniprogram/src/qlive.js";
import { FakeDevice, flushPromises, seededRandom, settle } from "./fakes.mjs";

const BASE = "https://example.com/wx/api/qlive";
const ROSE = { user_id: "20000000", gift_id: 1 };
const GIVEN = { status: 200, json: { status: "success", gold: 5, income: 0 } };
const UNAVAILABLE = { status: 503, json: { code: "away", detail: "Later." }, headers: { "Retry-After": "2" } };
const LOGGED_IN = { token: "t", user_id: "10000000" };

function newDevice(responses = [], stored = new Map([["qlive.session", JSON.stringify(LOGGED_IN)]])) {
  const device = new FakeDevice({ random: seededRandom(7), stored });
  device.client = createClient({ base: BASE, platform: device.platform });
  device.responses.push(...responses);
  return device;
}

/** Gives a rose, whose response is lost or says 503, and waits for that. */
async function giveRose(device) {
  const sending = settle(device.client.pushGift(ROSE));
  await flushPromises();
  assert.equal(device.requests.length, 1);
  return sending;
}

const requestIds = (device) => device.requests.map(({ url }) => new URL(url).searchParams.get("request_id"));

test("every gift has its own request id and is stored until its response", async () => {
  const device = newDevice([GIVEN, GIVEN]);
  const sending = device.client.pushGift(ROSE);
  assert.equal(device.client.gifts.pending()[0].gift_id, 1);
  assert.ok(device.stored.has("qlive.gifts"));
  await sending;
  assert.ok(!device.stored.has("qlive.gifts"));
  await device.client.pushGift({ ...ROSE, num: 3 });
  const [first, second] = requestIds(device);
  assert.ok(first && second && first !== second && first.length <= 64);
  assert.equal(device.requests[1].method, "GET");
  const sent = Object.fromEntries(new URL(device.requests[1].url).searchParams);
  assert.deepEqual(sent, { user_id: "20000000", gift_id: "1", num: "3", request_id: second });
});

test("a gift that needs confirmation is not retried, and is sent with confirm once the user agrees", async () => {
  const needed = { status: 409, json: { code: "confirmation_needed", detail: "Much." } };
  const device = newDevice([needed, UNAVAILABLE, GIVEN]);
  const sending = await giveRose(device);
  assert.equal(sending.error.code, "confirmation_needed");
  assert.deepEqual(device.client.gifts.pending(), []);
  const confirmed = settle(device.client.pushGift({ ...ROSE, confirm: true }));
  await flushPromises();
  assert.equal(device.client.gifts.pending()[0].confirm, true);
  device.clock.advance(2000);
  await flushPromises();
  assert.deepEqual(confirmed.answer, GIVEN.json);
  const sent = device.requests.map(({ url }) => new URL(url).searchParams.get("confirm"));
  assert.deepEqual(sent, [null, "true", "true"]);
});

test("503, network errors and server errors are retried with the same request id", async () => {
  const serverError = { status: 500, json: { code: "internal", detail: "!" } };
  const proxyError = { status: 502, json: "<html>" };
  const device = newDevice([UNAVAILABLE, undefined, serverError, proxyError, GIVEN]);
  const sending = await giveRose(device);
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

test("after the retry limit the gift stays stored and resumes with the same id after a restart", async () => {
  const device = newDevice();
  const sending = await giveRose(device);
  while (!sending.error) {
    await flushPromises();
    device.clock.advance(1000);
  }
  assert.equal(sending.error.name, "Unanswered");
  assert.ok(device.clock.now <= 1_000_000 + 61_000);
  assert.ok(device.requests.length < 20, "few attempts in a minute");

  const later = newDevice([GIVEN], device.stored);
  const [{ gift, answer }] = await later.client.gifts.resume();
  assert.deepEqual(answer, GIVEN.json);
  assert.deepEqual(requestIds(later), [gift.request_id]);
  assert.equal(gift.request_id, requestIds(device)[0]);
  assert.deepEqual(await later.client.gifts.resume(), []);
});

test("resume retries a gift without a response at once, but not one that waits for Retry-After", async () => {
  for (const [response, wait] of [[undefined, 0], [UNAVAILABLE, 2000]]) {
    const device = newDevice([response, GIVEN]);
    const sending = await giveRose(device);
    const resumed = settle(device.client.gifts.resume());
    await flushPromises();
    assert.equal(device.requests.length, wait ? 1 : 2);
    device.clock.advance(wait);
    await flushPromises();
    assert.deepEqual([sending.answer, resumed.answer[0].answer], [GIVEN.json, GIVEN.json]);
    assert.equal(new Set(requestIds(device)).size, 1);
    device.clock.advance(60_000);
    await flushPromises();
    assert.equal(device.requests.length, 2);
  }
});

test("a forgotten gift is not retried", async () => {
  const device = newDevice([UNAVAILABLE]);
  const sending = await giveRose(device);
  device.client.gifts.forget(device.client.gifts.pending()[0].request_id);
  assert.deepEqual(device.client.gifts.pending(), []);
  device.clock.advance(60_000);
  await flushPromises();
  assert.deepEqual([device.requests.length, sending.error.name], [1, "Unanswered"]);
});

test("a gift survives a signed-out session and resumes after login", async () => {
  const unauthorized = { status: 401, json: { code: "token", detail: "Please log in." } };
  const newLogin = { status: 200, json: { status: 0, ...LOGGED_IN, token: "t2" } };
  const device = newDevice([unauthorized, newLogin, GIVEN]);
  await assert.rejects(device.client.pushGift(ROSE), { name: "Refused", status: 401 });
  assert.deepEqual([device.client.userId, device.client.gifts.pending()], ["", []]);
  await device.client.login({ appId: "a", code: "c" });
  assert.equal((await device.client.gifts.resume()).length, 1);
  assert.equal(device.requests.at(-1).headers.Authorization, "QLiveToken t2");
});

test("a gift of the previous user is not sent with the new user's token", async () => {
  const device = newDevice([UNAVAILABLE, { status: 200, json: { status: 0, token: "o", user_id: "40000000" } }]);
  const sending = await giveRose(device);
  await device.client.login({ appId: "a", code: "c" });
  device.clock.advance(60_000);
  await flushPromises();
  assert.equal(sending.error.name, "Unanswered");
  assert.equal(device.requests.length, 2, "the gift once, and the login");
  assert.deepEqual(await device.client.gifts.resume(), []);
});

test("a gift without a login is refused without a request", async () => {
  const device = newDevice([], new Map());
  await assert.rejects(device.client.pushGift(ROSE), { name: "Refused", status: 401 });
  assert.deepEqual([device.requests, device.stored.size], [[], 0]);
});
