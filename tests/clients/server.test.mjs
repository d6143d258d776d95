// The SDK against the real server, whose address is in the environment.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { comparable } from "./comparing.mjs";
import { Proxy, away, breakOff, lose } from "./proxy.mjs";
import { ADDRESS, browser, host, listen, miniProgram, ops, person, until, wechat } from "./street.mjs";

let proxy;
const rooms = [];

before(async () => {
  proxy = await new Proxy(ADDRESS).start();
});

after(() => {
  rooms.forEach((room) => room.close());
  proxy.stop();
});

async function open(client, live_id) {
  const room = await listen(client, live_id);
  rooms.push(room);
  return room;
}

/** A room with its host in a browser and a man with a phone behind the bad network. */
async function evening(name) {
  const her = browser();
  const live_id = await host(her, `host of ${name}`);
  const him = await person(miniProgram(proxy.address), `man of ${name}`, 1, 100);
  await him.getPlayurl({ live_id });
  return { her, him, live_id };
}

/** The room as somebody who comes just now is shown it. */
async function fresh(live_id, name) {
  const looker = await person(browser(), name, 0);
  await looker.getPlayurl({ live_id });
  const room = await open(looker, live_id);
  return comparable(room.state.room);
}

async function firstGift(client) {
  return (await client.getGifts()).results[0];
}

test("a login through WeChat, a profile, and where one is", async () => {
  const client = await person(browser(), "newcomer", 2);
  const { appId, code } = await wechat("newcomer");
  const answer = await client.login({ appId, code });
  assert.deepEqual([answer.status, answer.user_id], [0, client.userId]);
  const changed = await client.updateUserinfo({ nickname: "新人", age: "25" });
  assert.deepEqual([changed.nickname, changed.age], ["新人", 25]);
  assert.equal((await client.getUserinfo()).nickname, "新人");
  assert.equal((await client.getUserState()).user_type, 0);
  assert.ok(Array.isArray(await client.getLivelist({ page: 1 })));
  assert.ok((await client.getBlocks()).length);
  assert.ok((await client.getConfigs()).PROGRAM_SHARE);
  await assert.rejects(client.getUserinfo({ user_id: "1" }), { code: "bad_parameter", status: 400 });
});

test("from the first frame on, the room is what a fresh snapshot shows", async () => {
  const { her, him, live_id } = await evening("one");
  const [hers, his] = [await open(her, live_id), await open(him, live_id)];
  const invited = new Promise((resolve) => his.on("invited", resolve));
  await him.applyMicro({ live_id });
  await until(hers, () => hers.state.room.applicants.length);
  assert.deepEqual((await her.getUsersInfo({ live_id, gender: 1 })).map(({ state }) => state), [1]);
  await her.inviteMicro({ live_id, user_id: him.userId });
  assert.equal((await invited).user_id, him.userId);
  const seat = await him.acceptMicro({ live_id });
  assert.match(seat.push_url, /^rtmp:/);
  await him.pushGift({ user_id: her.userId, gift_id: (await firstGift(him)).id });
  await him.updateUserinfo({ nickname: "先生" });
  await until(hers, () => hers.frames.at(-1).type === "profile");
  await until(his, () => his.state.seq === hers.state.seq);

  assert.deepEqual(comparable(hers.state.room), comparable(his.state.room));
  assert.deepEqual(comparable(hers.state.room), await fresh(live_id, "looker of one"));
  assert.equal(hers.state.room.male.nickname, "先生");
  const told = hers.frames.filter(({ seq, type }) => seq && type !== "heartbeat" && type !== "snapshot");
  const words = ["micro_apply", "micro_invite", "micro_accept", "gift", "profile"];
  assert.deepEqual(told.map(({ type }) => type), words);
  const { senders } = await him.rank({ live_id });
  assert.equal(senders[0].user_id, him.userId);
});

test("what happens while the connection is cut is caught up, without a gap", async () => {
  const { her, him, live_id } = await evening("two");
  const his = await open(him, live_id);
  proxy.deaf = true;
  proxy.cut();
  await until(his, () => his.phases.at(-1).phase === "reconnecting");
  for (let n = 0; n < 5; n++) await her.inviteMicro({ live_id, user_id: him.userId });
  proxy.deaf = false;
  await until(his, () => his.phases.at(-1).phase === "resumed");
  assert.equal(his.phases.at(-1).replayed, 5);
  assert.equal(his.state.seq, 5);
  const numbered = his.frames.filter(({ type }) => type === "micro_invite").map(({ seq }) => seq);
  assert.deepEqual(numbered, [1, 2, 3, 4, 5]);
  assert.deepEqual(comparable(his.state.room), await fresh(live_id, "looker of two"));
});

test("a server that throws a client out takes it back where it was", async () => {
  const { her, him, live_id } = await evening("three");
  const his = await open(him, live_id);
  await her.inviteMicro({ live_id, user_id: him.userId });
  await until(his, () => his.state.seq === 1);
  for (let n = 0; n < 40; n++) his._line.say({ type: "ping", n });
  await until(his, () => his.phases.at(-1).phase === "resumed");
  const lost = his.phases.find(({ phase }) => phase === "reconnecting");
  assert.equal(lost.code, 4029);
  assert.equal(his.frames.filter(({ type }) => type === "snapshot").length, 1);
});

test("a gift whose answers are lost, or come later, is given once", async () => {
  const { her, him, live_id } = await evening("four");
  const hers = await open(her, live_id);
  const gift = await firstGift(him);
  proxy.mishaps.push(away, lose, breakOff);
  const before = proxy.asked.length;
  const network = setInterval(() => him.gifts.resume(), 20); // it is back, and asks at once
  const giving = him.pushGift({ user_id: her.userId, gift_id: gift.id });
  const answer = await giving.finally(() => clearInterval(network));
  const asked = proxy.asked.slice(before).filter((url) => url.includes("push_gift"));
  assert.equal(asked.length, 4);
  assert.equal(new Set(asked).size, 1, "the same request, word for word");
  assert.equal(answer.gold, 100 - gift.gold);
  assert.equal((await him.getUserinfo()).gold, 100 - gift.gold);
  await her.inviteMicro({ live_id, user_id: him.userId });
  await until(hers, () => hers.frames.at(-1).type === "micro_invite");
  assert.equal(hers.frames.filter(({ type }) => type === "gift").length, 1);
  assert.deepEqual(him.gifts.pending(), []);
});

test("a gift that costs too much is refused, and not asked for again", async () => {
  const { her, him } = await evening("five");
  const wish = { user_id: her.userId, gift_id: (await firstGift(him)).id, num: 9999 };
  await assert.rejects(him.pushGift(wish), { name: "Refused", code: "insufficient_gold" });
  assert.deepEqual(him.gifts.pending(), []);
});

test("who is put out hears it and stays out; who opens another socket closes the first", async () => {
  const { her, him, live_id } = await evening("six");
  const first = await open(him, live_id);
  const second = await open(him, live_id);
  await until(first, () => first.phases.at(-1).phase === "closed");
  assert.equal(first.phases.at(-1).code, 4509);
  await her.putOut({ live_id, user_id: him.userId, minutes: 1 });
  await until(second, () => second.phases.at(-1).phase === "closed");
  assert.equal(second.phases.at(-1).code, 4503);
  await assert.rejects(him.getPlayurl({ live_id }), { status: 403, code: "put_out" });
});

test("the end of the live is the last that is heard", async () => {
  const { her, him, live_id } = await evening("seven");
  const his = await open(him, live_id);
  await her.liveEnd({ live_id });
  await until(his, () => his.phases.at(-1).phase === "closed");
  assert.deepEqual([his.phases.at(-1).code, his.state.room.status], [4510, "ended"]);
});

test("a logout elsewhere signs out; a new login goes on where the socket was", async () => {
  const { her, him, live_id } = await evening("eight");
  const hers = await open(her, live_id);
  await her.inviteMicro({ live_id, user_id: him.userId });
  await until(hers, () => hers.state.seq === 1);
  const out = new Promise((resolve) => her.on("signedOut", resolve));
  // Five tokens per person: the sixth login takes the first one away.
  const others = Array.from({ length: 5 }, () => miniProgram());
  for (const other of others) await person(other, "host of eight", 2);
  assert.equal((await out).code, "token");
  assert.equal(hers.phases.at(-1).code, 4401);
  await person(her, "host of eight", 2);
  hers.open();
  await until(hers, () => hers.phases.at(-1).phase === "resumed");
  assert.equal(hers.phases.at(-1).replayed, 0);
});

test("every other call: to refuse, to leave, to pay, to like, the day's ranking, to log out", async () => {
  const { her, him, live_id } = await evening("ten");
  await her.inviteMicro({ live_id, user_id: him.userId });
  assert.equal((await him.refuseMicro({ live_id })).detail, "OK");
  await him.applyMicro({ live_id });
  await her.inviteMicro({ live_id, user_id: him.userId });
  await him.acceptMicro({ live_id });
  await him.pushGift({ user_id: her.userId, gift_id: (await firstGift(him)).id, num: 9 });
  const today = await him.dayRank();
  assert.ok(today.senders.some(({ user_id }) => user_id === him.userId));
  assert.ok(today.takings.some(({ user_id }) => user_id === her.userId));
  await him.leaveMicro({ live_id });
  assert.equal((await him.getUserState()).user_type, 1);
  await him.leaveRoom({ live_id });
  assert.equal((await him.getUserState()).live_id, "");

  await him.like({ user_id: her.userId, like_state: 1 });
  assert.deepEqual(await him.getLike({ user_id: her.userId }), { like_state: 1 });
  const [block] = await him.getBlocks();
  const order = await him.pay({ block_id: block.id });
  assert.equal(order.success, "success");
  assert.ok(order.sign && order.timestamp && order.content);

  const { token } = him;
  assert.ok(token);
  await him.logout();
  assert.deepEqual([him.token, him.userId], ["", ""]);
  him._session.keep({ token, user_id: "1" });
  await assert.rejects(him.getUserState(), { status: 401, code: "token" });
});

test("a ban closes the socket for good", async () => {
  const { him, live_id } = await evening("nine");
  const his = await open(him, live_id);
  await ops("PATCH", `users/${him.userId}`, { banned: true, ban_reason: "test" });
  await until(his, () => his.phases.at(-1).phase === "closed");
  assert.equal(his.phases.at(-1).code, 4503);
});
