// The SDK against the real server at QLIVE_ADDRESS.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { comparable } from "./comparable.mjs";
import { Proxy, newClient, openRoom, signUp, startLive, until, wechatLogin } from "./live_server.mjs";

let proxy;
const rooms = [];

before(async () => {
  proxy = await new Proxy().start();
});

after(() => {
  rooms.forEach((room) => room.close());
  proxy.stop();
});

async function openTracked(client, live_id) {
  const room = await openRoom(client, live_id);
  rooms.push(room);
  return room;
}

/** A live room with a host, and a male guest behind the proxy. */
async function startRoom(name) {
  const host = newClient();
  const live_id = await startLive(host, `host of ${name}`);
  const guest = await signUp(newClient(proxy.address), `guest of ${name}`, 1, 100);
  await guest.getPlayurl({ live_id });
  return { host, guest, live_id };
}

/** The room as a new viewer's snapshot shows it. */
async function freshSnapshot(live_id, name) {
  const viewer = await signUp(newClient(), name, 0);
  await viewer.getPlayurl({ live_id });
  const room = await openTracked(viewer, live_id);
  return comparable(room.state.room);
}

const reaches = (room, phase) => until(room, () => room.phases.at(-1).phase === phase);

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
  const { host, guest, live_id } = await startRoom("one");
  const [hostRoom, guestRoom] = [await openTracked(host, live_id), await openTracked(guest, live_id)];
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
  await until(hostRoom, () => hostRoom.frames.at(-1).type === "profile");
  await until(guestRoom, () => guestRoom.state.seq === hostRoom.state.seq);
  assert.deepEqual(comparable(hostRoom.state.room), comparable(guestRoom.state.room));
  assert.deepEqual(comparable(hostRoom.state.room), await freshSnapshot(live_id, "viewer of one"));
  assert.equal(hostRoom.state.room.male.nickname, "先生");

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

test("events during a cut connection are replayed without a gap", async () => {
  const { host, guest, live_id } = await startRoom("two");
  const guestRoom = await openTracked(guest, live_id);
  proxy.refuses = true;
  proxy.cut();
  await reaches(guestRoom, "reconnecting");
  for (let n = 0; n < 5; n++) await host.inviteMicro({ live_id, user_id: guest.userId });
  proxy.refuses = false;
  await reaches(guestRoom, "resumed");
  assert.deepEqual([guestRoom.phases.at(-1).replayed, guestRoom.state.seq], [5, 5]);
  const numbers = guestRoom.frames.filter(({ type }) => type === "micro_invite").map(({ seq }) => seq);
  assert.deepEqual(numbers, [1, 2, 3, 4, 5]);
  assert.deepEqual(comparable(guestRoom.state.room), await freshSnapshot(live_id, "viewer of two"));
});
