import assert from "node:assert/strict";
import { test } from "node:test";

import { createClient } from "../../clients/miniprogram/src/qlive.js";
import { FakePhone, dice, settled } from "./fakes.mjs";

const BASE = "https://example.com/wx/api/qlive";
const ROSE = { user_id: "20000000", gift_id: 1 };
const GIVEN = { status: 200, json: { status: "success", gold: 5, income: 0 } };
const AWAY = { status: 503, json: { code: "away", detail: "Later." }, headers: { "Retry-After": "2" } };
const LOGGED_IN = { token: "t", user_id: "10000000" };

function aPhone(kept = new Map([["qlive.session", JSON.stringify(LOGGED_IN)]])) {
  const phone = new FakePhone({ random: dice(7), kept });
  phone.client = createClient({ base: BASE, platform: phone.platform });
  return phone;
}

function idsOf(phone) {
  return phone.asked.map(({ url }) => new URL(url).searchParams.get("request_id"));
}

/** Whatever becomes of it, without being an error yet. */
function watch(promise) {
  const seen = { promise };
  promise.then((answer) => (seen.answer = answer), (error) => (seen.error = error));
  return seen;
}

test("every gift has an id of its own, and goes as a GET with the wish in the query", async () => {
  const phone = aPhone();
  phone.answers.push(GIVEN, GIVEN);
  await phone.client.pushGift(ROSE);
  await phone.client.pushGift({ ...ROSE, num: 3 });
  const [one, other] = idsOf(phone);
  assert.ok(one && other && one !== other && one.length <= 64);
  assert.equal(phone.asked[1].method, "GET");
  const sent = Object.fromEntries(new URL(phone.asked[1].url).searchParams);
  assert.deepEqual(sent, { user_id: "20000000", gift_id: "1", num: "3", request_id: other });
});

test("it is in storage before it is asked for, and gone when it is answered", async () => {
  const phone = aPhone();
  phone.answers.push(GIVEN);
  const giving = phone.client.pushGift(ROSE);
  assert.equal(phone.client.gifts.pending()[0].gift_id, 1);
  assert.ok(phone.kept.has("qlive.gifts"));
  await giving;
  assert.ok(!phone.kept.has("qlive.gifts"));
});

test("later, nobody and a broken server are asked again with the same id", async () => {
  const phone = aPhone();
  const broken = { status: 500, json: { code: "internal", detail: "!" } };
  const proxy = { status: 502, json: "<html>" };
  phone.answers.push(AWAY, undefined, broken, proxy, GIVEN);
  const giving = watch(phone.client.pushGift(ROSE));
  await settled();
  phone.clock.pass(1999);
  await settled();
  assert.equal(phone.asked.length, 1, "not before Retry-After");
  phone.clock.pass(1);
  for (let n = 0; n < 4; n++) {
    await settled();
    phone.clock.pass(8000);
  }
  await settled();
  assert.deepEqual(giving.answer, GIVEN.json);
  assert.equal(phone.asked.length, 5);
  assert.equal(new Set(idsOf(phone)).size, 1);
});

test("a no is final: it is told, and not kept", async () => {
  const phone = aPhone();
  const poor = { status: "failed", code: "insufficient_gold", detail: "There is not enough gold." };
  phone.answers.push({ status: 200, json: poor });
  const why = { name: "Refused", code: "insufficient_gold", status: 200 };
  await assert.rejects(phone.client.pushGift(ROSE), why);
  assert.deepEqual(phone.client.gifts.pending(), []);
});

test("when patience ends the gift stays, and after a restart the same id is asked for", async () => {
  const phone = aPhone();
  const giving = watch(phone.client.pushGift(ROSE));
  while (!giving.error) {
    await settled();
    phone.clock.pass(1000);
  }
  assert.equal(giving.error.name, "Unanswered");
  assert.ok(phone.clock.now <= 1_000_000 + 61_000);
  assert.ok(phone.asked.length < 20, "a minute of asking is no storm");

  const later = aPhone(phone.kept);
  later.answers.push(GIVEN);
  const [{ gift, answer }] = await later.client.gifts.resume();
  assert.deepEqual(answer, GIVEN.json);
  assert.deepEqual(idsOf(later), [gift.request_id]);
  assert.equal(gift.request_id, idsOf(phone)[0]);
  assert.deepEqual(await later.client.gifts.resume(), []);
});

test("resuming does not ask for what is being asked for", async () => {
  const phone = aPhone();
  phone.answers.push(AWAY, GIVEN);
  const giving = watch(phone.client.pushGift(ROSE));
  await settled();
  const resumed = watch(phone.client.gifts.resume());
  await settled();
  assert.equal(phone.asked.length, 1);
  phone.clock.pass(2000);
  await settled();
  assert.equal(phone.asked.length, 2);
  assert.deepEqual(resumed.answer[0].answer, giving.answer);
});

test("resuming asks at once where nobody has answered: there may be a network again", async () => {
  const phone = aPhone();
  const giving = watch(phone.client.pushGift(ROSE));
  await settled();
  assert.equal(phone.asked.length, 1);
  phone.answers.push(GIVEN);
  const resumed = watch(phone.client.gifts.resume());
  await settled();
  assert.deepEqual([giving.answer, resumed.answer[0].answer], [GIVEN.json, GIVEN.json]);
  assert.equal(new Set(idsOf(phone)).size, 1);
  phone.clock.pass(60_000);
  await settled();
  assert.equal(phone.asked.length, 2);
});

test("a wish that is given up is not asked for again", async () => {
  const phone = aPhone();
  phone.answers.push(AWAY);
  const giving = watch(phone.client.pushGift(ROSE));
  await settled();
  phone.client.gifts.forget(phone.client.gifts.pending()[0].request_id);
  assert.deepEqual(phone.client.gifts.pending(), []);
  phone.clock.pass(60_000);
  await settled();
  assert.deepEqual([phone.asked.length, giving.error.name], [1, "Unanswered"]);
});

test("a lost login keeps the gift until its giver is back", async () => {
  const phone = aPhone();
  const out = { status: 401, json: { code: "token", detail: "Please log in." } };
  phone.answers.push(out);
  const heard = [];
  phone.client.on("signedOut", (why) => heard.push(why.code));
  await assert.rejects(phone.client.pushGift(ROSE), { name: "Refused", status: 401 });
  assert.deepEqual([heard, phone.client.userId], [["token"], ""]);
  assert.deepEqual(phone.client.gifts.pending(), [], "of nobody");
  phone.answers.push({ status: 200, json: { status: 0, ...LOGGED_IN, token: "t2" } }, GIVEN);
  await phone.client.login({ appId: "a", code: "c" });
  assert.equal((await phone.client.gifts.resume()).length, 1);
  assert.equal(phone.asked.at(-1).headers.Authorization, "QLiveToken t2");
});

test("nobody pays for somebody else who used the phone before", async () => {
  const phone = aPhone();
  phone.answers.push(AWAY);
  const giving = watch(phone.client.pushGift(ROSE));
  await settled();
  phone.answers.push({ status: 200, json: { status: 0, token: "o", user_id: "40000000" } });
  await phone.client.login({ appId: "a", code: "c" });
  phone.clock.pass(60_000);
  await settled();
  assert.equal(giving.error.name, "Unanswered");
  assert.equal(phone.asked.length, 2, "the gift once, and the login");
  assert.deepEqual(await phone.client.gifts.resume(), []);
});

test("who is not logged in gives nothing", async () => {
  const phone = aPhone(new Map());
  await assert.rejects(phone.client.pushGift(ROSE), { name: "Refused", status: 401 });
  assert.deepEqual([phone.asked, phone.kept.size], [[], 0]);
});
