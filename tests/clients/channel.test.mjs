import assert from "node:assert/strict";
import { test } from "node:test";

import { createClient } from "../../clients/miniprogram/src/qlive.js";
import { FakeDevice, flushPromises, seededRandom } from "./fakes.mjs";
import { ANNA, BERT, HOST, bye, event, ownEvent, ownResumed, ownSnapshot, resumed, snapshot } from "./frames.mjs";

const BASE = "https://example.com/wx/api/qlive";
const REFUSED = { status: 401, json: { code: "token", detail: "!" } };
const OK = { status: 200, json: { detail: "OK" } };
const login = (user, token = "t2") => ({ status: 200, json: { status: 0, token, user_id: user.user_id } });

/** A device of Bert whose channel records its events in `events`. */
function newChannel({ signInAgain, ...options } = {}) {
  const stored = new Map([["qlive.session", JSON.stringify({ token: "t", user_id: BERT.user_id })]]);
  const device = new FakeDevice({ stored, ...options });
  if (signInAgain) device.platform.login = async () => "code";
  const client = createClient({ base: BASE, platform: device.platform, appId: "a", signInAgain });
  const channel = client.channel();
  const events = [];
  for (const name of ["invitation", "invitation_end", "payment", "balance", "where", "live_started"]) {
    channel.on(name, (data) => events.push([name, data]));
  }
  channel.on("connection", ({ phase, code }) => events.push(code === undefined ? [phase] : [phase, code]));
  client.on("signedOut", ({ code }) => events.push(["signedOut", code]));
  return { device, client, channel, events };
}

/** The same with the channel open and its snapshot at sequence number 7. */
function newLiveChannel(options) {
  const fixture = newChannel(options);
  fixture.channel.open();
  fixture.device.socket.receive(ownSnapshot(7));
  fixture.events.length = 0;
  return fixture;
}

/** The same on the socket of a room at sequence number 3. */
function newRidingChannel(options) {
  const fixture = newLiveChannel(options);
  const room = fixture.client.room(1);
  const roomEvents = [];
  room.on("connection", ({ phase }) => roomEvents.push(phase));
  room.open();
  const [own, socket] = fixture.device.sockets;
  socket.receive(snapshot(3));
  socket.receive(ownResumed(7, 0));
  fixture.events.length = roomEvents.length = 0;
  return { ...fixture, room, roomEvents, own, socket };
}

const queryOf = (socket) => Object.fromEntries(new URL(socket.url).searchParams);
const openSockets = (device) => device.sockets.filter(({ closed }) => !closed);
const payment = (seq) => ownEvent(seq, "payment", { order: `order ${seq}`, gold: 1 });
const invitation = (invitation_id, more = {}) => ({
  ...{ invitation_id, kind: "seat", live_id: 1, room_name: "r", host: HOST, expires_at: 9 },
  ...more,
});
const payments = (events) => events.filter(([name]) => name === "payment").map(([, { order }]) => order);
const transient = (type, data) => ({ type, user_id: BERT.user_id, data });

// ---- a connection of its own

test("the first frame of the channel is its state, and later ones change it", () => {
  const { device, client, channel, events } = newChannel();
  assert.equal(client.channel(), channel);
  channel.open();
  assert.equal(device.socket.url, "wss://example.com/wx/api/qlive/ws/");
  const states = [];
  channel.on("state", (state, { type }) => states.push([type, state]));
  const expected = { user_id: BERT.user_id, epoch: "o1", seq: 7, gold: 10, income: 0, in_room: null };
  device.socket.receive(ownSnapshot(7, { invitations: [invitation("a")] }));
  assert.deepEqual(channel.state, { ...expected, invitations: [invitation("a")] });
  const later = invitation("a", { expires_at: 20 });
  device.socket.receive(ownEvent(8, "invitation", invitation("b", { kind: "room" })));
  device.socket.receive(ownEvent(9, "invitation", later));
  assert.deepEqual(channel.state.invitations, [invitation("b", { kind: "room" }), later]);
  device.socket.receive(ownEvent(10, "invitation_end", { invitation_id: "b", reason: "expired" }));
  device.socket.receive(payment(11));
  device.socket.receive(transient("balance", { gold: 11, income: 5 }));
  device.socket.receive(transient("where", { live_id: 5 }));
  device.socket.receive(transient("live_started", { host: HOST, live_id: 6, room_name: "r" }));
  device.socket.receive(ownEvent(12, "wedding", {}));
  const changed = { gold: 11, income: 5, in_room: 5, invitations: [later] };
  assert.deepEqual(channel.state, { ...expected, seq: 12, ...changed });
  const names = ["invitation", "invitation", "invitation_end", "payment", "balance", "where", "live_started"];
  assert.deepEqual(events.map(([name]) => name), ["connecting", "live", ...names]);
  assert.deepEqual(states.map(([type]) => type), ["snapshot", ...names, "wedding"]);
});

test("a lost channel resumes at its last number, and a gap is filled before its events are emitted", () => {
  const { device, events } = newLiveChannel();
  device.socket.receive(payment(9));
  assert.deepEqual(events, [["reconnecting", 0]]);
  device.clock.runNext();
  assert.deepEqual(queryOf(device.socket), { epoch: "o1", since: "7" });
  for (const frame of [ownResumed(9, 2), payment(8), payment(9), payment(9)]) device.socket.receive(frame);
  assert.deepEqual(payments(events), ["order 8", "order 9"]);
  assert.deepEqual(events.at(-1), ["resumed"]);
  device.socket.receive({ type: "heartbeat", seq: 10, ts: 1 });
  assert.deepEqual(events.at(-1), ["reconnecting", 0]);
});

test("the start of a live is reported once, also if it comes twice, and a later live of the same room again", () => {
  const { device, channel, socket, room } = newRidingChannel();
  const started = [];
  const frame = (live_id) => transient("live_started", { host: HOST, live_id, room_name: "r" });
  channel.on("live_started", ({ live_id, host }) => started.push([live_id, host.user_id]));
  for (const live_id of [5, 5, 6]) socket.receive(frame(live_id));
  room.close();
  device.clock.runNext();
  device.socket.receive(ownResumed(7, 0));
  device.socket.receive(frame(5));
  assert.deepEqual(started, [[5, HOST.user_id], [6, HOST.user_id]]);
  device.clock.now += 600_000;
  device.socket.receive(frame(5));
  assert.equal(started.length, 3);
  assert.equal(channel.state.seq, 7);
});

// ---- the end of the session

test("a logout, a refused token and another user close the channel, whose state is its user's only", async () => {
  for (const [act, code, user, since] of [
    [(client) => client.logout(), undefined, BERT, "7"],
    [(client) => client.getUserState().catch(() => {}), "token", BERT, "7"],
    [(client) => client.logout(), undefined, ANNA, undefined],
  ]) {
    const { device, client, channel, events } = newLiveChannel();
    device.responses.push(code ? REFUSED : OK, login(user));
    await act(client);
    assert.deepEqual(events, [["closed", 4401], ...(code ? [["signedOut", code]] : [])]);
    assert.deepEqual(openSockets(device), []);
    await client.login({ appId: "a", code: "c" });
    channel.open();
    assert.equal(queryOf(device.socket).since, since);
    assert.equal(channel.state === null, user === ANNA);
  }
  const { device, client, events } = newLiveChannel();
  device.responses.push(login(BERT), login(ANNA));
  await client.login({ appId: "a", code: "c" });
  assert.deepEqual(events, []);
  await client.login({ appId: "a", code: "c" });
  assert.deepEqual([events, client.userId], [[["closed", 4401]], ANNA.user_id]);
});

test("a channel whose token was refused resumes after the sign-in, or closes with the user", async () => {
  for (const [response, last, sockets] of [
    [login(BERT), ["connecting"], 2],
    [{ status: 403, json: { code: "banned", detail: "!" } }, ["signedOut", "banned"], 1],
  ]) {
    const { device, events } = newLiveChannel({ signInAgain: true });
    device.responses.push(response);
    device.socket.receive(bye(4401));
    await flushPromises();
    assert.deepEqual([events.at(-1), device.sockets.length], [last, sockets]);
    assert.equal(events.filter(([phase]) => phase === "closed").length, sockets === 1 ? 1 : 0);
  }
});

// ---- on the socket of a room

test("the socket of a room takes over with the channel's first frame there, without a lost or repeated event", () => {
  const { device, client, channel, events } = newLiveChannel();
  const room = client.room(1);
  const frames = [];
  room.on("frame", ({ type }) => frames.push(type));
  room.open();
  const [own, socket] = device.sockets;
  assert.deepEqual(queryOf(socket), { live_id: "1", own: "1", own_epoch: "o1", own_since: "7" });
  socket.receive(snapshot(3));
  own.receive(payment(8));
  assert.ok(!own.closed);
  socket.receive(ownResumed(8, 1));
  assert.ok(own.closed);
  for (const frame of [payment(8), event(4, "live_pause", HOST), payment(9)]) socket.receive(frame);
  socket.receive({ type: "heartbeat", seq: 4, own_seq: 9, ts: 1 });
  assert.deepEqual(payments(events), ["order 8", "order 9"]);
  assert.deepEqual(frames, ["snapshot", "live_pause", "heartbeat"]);
  assert.deepEqual([channel.state.seq, room.state.seq, openSockets(device)], [9, 4, [socket]]);
});

test("a snapshot on a room's socket that is older than the channel's state is not shown", () => {
  const { device, client, channel, events } = newChannel();
  channel.open();
  client.room(1).open();
  const [own, socket] = device.sockets;
  assert.deepEqual(queryOf(socket), { live_id: "1", own: "1" });
  own.receive(ownSnapshot(7));
  own.receive(payment(8));
  socket.receive(snapshot(3));
  socket.receive(ownSnapshot(7));
  for (const seq of [8, 9]) socket.receive(payment(seq));
  assert.deepEqual(payments(events), ["order 8", "order 9"]);
});

test("a room without the channel has no frames of the user, also after the channel was closed", () => {
  const { device, client } = newChannel();
  client.room(1).open();
  assert.deepEqual(queryOf(device.socket), { live_id: "1" });
  const { channel, socket, events } = newRidingChannel();
  channel.close();
  events.length = 0;
  socket.receive(payment(8));
  socket.receive(ownSnapshot(9));
  socket.receive({ type: "heartbeat", seq: 3, own_seq: 9, ts: 1 });
  assert.deepEqual([events, channel.state.seq, socket.closed], [[], 7, false]);
});

test("when a room's socket ends, the channel connects by itself, and is closed only for its own reason", () => {
  for (const code of [4503, 4504, 4509, 4510, 1000]) {
    const { device, socket, room, events } = newRidingChannel();
    if (code === 1000) room.close();
    else socket.receive(bye(code));
    assert.deepEqual([events, openSockets(device)], [[["reconnecting", code]], []]);
    device.clock.advance(500);
    assert.deepEqual(queryOf(device.socket), { epoch: "o1", since: "7" });
    device.socket.receive(ownResumed(7, 0));
    assert.deepEqual([events.at(-1), openSockets(device)], [["resumed"], [device.socket]]);
    device.socket.receive(bye(4503)); // the user is banned
    assert.deepEqual(events.at(-1), ["closed", 4503]);
  }
});

test("a gap of the channel resumes both at their numbers, and the same gap twice requests its snapshot", () => {
  for (const frame of [payment(9), { type: "heartbeat", seq: 3, own_seq: 8, ts: 1 }]) {
    const { device, socket, events, channel, room } = newRidingChannel();
    socket.receive(frame);
    assert.ok(socket.closed);
    assert.deepEqual(events, [["reconnecting", 0]]);
    device.clock.runNext();
    assert.deepEqual([queryOf(device.socket).since, queryOf(device.socket).own_since], ["3", "7"]);
    for (const again of [resumed(3, 0), ownResumed(7, 0), frame]) device.socket.receive(again);
    device.clock.runNext();
    assert.deepEqual(queryOf(device.socket), { live_id: "1", epoch: "e1", since: "3", own: "1" });
    for (const again of [resumed(3, 0), ownSnapshot(9)]) device.socket.receive(again);
    assert.deepEqual([channel.state.seq, room.state.seq], [9, 3]);
  }
  const { socket, events, roomEvents } = newRidingChannel();
  socket.receive({ type: "heartbeat", seq: 4, own_seq: 8, ts: 1 }); // behind with both: one reconnect
  assert.deepEqual([roomEvents, events], [["reconnecting"], [["reconnecting", 0]]]);
});

test("a token that is refused on a room's socket is replaced once for both, or closes both", async () => {
  const { device, socket, events } = newRidingChannel({ signInAgain: true });
  device.responses.push(login(BERT));
  socket.receive(bye(4401));
  await flushPromises();
  assert.deepEqual([queryOf(device.socket).own_since, device.socket.headers.Authorization], ["7", "QLiveToken t2"]);
  assert.equal(device.requests.length, 1);
  assert.deepEqual(events.map(([name]) => name), ["reconnecting", "connecting"]);
  const signedOut = newRidingChannel();
  signedOut.socket.receive(bye(4401));
  signedOut.device.clock.advance(600_000);
  assert.deepEqual(signedOut.events.slice(-2), [["closed", 4401], ["signedOut", "token"]]);
  assert.equal(signedOut.device.sockets.length, 2);
});

test("the channel follows the user into the next room", () => {
  const { device, client, channel, socket, room, events } = newRidingChannel();
  client.room(2).open();
  const next = device.socket;
  next.receive({ ...snapshot(1), live_id: 2 });
  next.receive(ownResumed(7, 0));
  socket.receive(payment(8)); // of the room before, whose connection still has the channel
  assert.equal(channel.state.seq, 7);
  room.close();
  next.receive(payment(8));
  assert.deepEqual([payments(events), openSockets(device)], [["order 8"], [next]]);
});

/** A server with one room and Bert's channel, which loses a tenth of the events that it sends. */
class FakeServer {
  constructor(device, random) {
    Object.assign(this, { random, seqs: { room: 0, own: 0 }, sockets: [] });
    device.onSocket = (socket) => device.clock.setTimeout(() => this.accept(socket), 50);
  }

  accept(socket) {
    const { live_id, since, own, own_since } = queryOf(socket);
    socket.since = live_id ? { room: since, ...(own && { own: own_since }) } : { own: since };
    for (const key of Object.keys(socket.since)) {
      const [begin, resume] = key === "own" ? [ownSnapshot, ownResumed] : [snapshot, resumed];
      const [since, seq] = [socket.since[key], this.seqs[key]];
      socket.receive(since ? resume(seq, seq - since) : begin(seq));
      for (let missed = Number(since) + 1; missed <= seq; missed++) this.send(socket, key, missed);
    }
    this.sockets.push(socket);
  }

  send(socket, key, seq) {
    socket.receive(key === "own" ? payment(seq) : event(seq, "gift", {}));
  }

  publish(key) {
    this.seqs[key] += 1;
    for (const socket of this.sockets) {
      if (key in socket.since && this.random() < 0.9) this.send(socket, key, this.seqs[key]);
    }
  }

  beat() {
    const { room, own } = this.seqs;
    for (const { since, receive } of this.sockets) {
      const isOfRoom = "room" in since;
      const seqs = isOfRoom && "own" in since ? { seq: room, own_seq: own } : { seq: isOfRoom ? room : own };
      receive({ type: "heartbeat", ts: 1, ...seqs });
    }
  }
}

test("whatever happens to rooms and connections, each event of the channel is emitted once, in order", () => {
  for (let seed = 1; seed <= 30; seed++) {
    const random = seededRandom(seed);
    const { device, client, channel, events } = newChannel({ random });
    const server = new FakeServer(device, random);
    const room = client.room(1);
    const lose = (code) => openSockets(device).slice(0, 1).forEach((socket) => socket.disconnect(code));
    const steps = [
      () => room.open(),
      () => room.close(),
      () => lose(1006),
      () => queryOf(device.socket).live_id && lose(4509),
      () => device.wake(),
      () => device.clock.advance(random() * 30_000),
      () => server.beat(),
      () => server.publish("room"),
      ...Array(6).fill(() => server.publish("own")),
    ];
    channel.open();
    device.clock.advance(100);
    for (let step = 0; step < 400; step++) {
      channel.open(); // if it was replaced
      steps[Math.floor(random() * steps.length)]();
      device.clock.advance(random() * 100);
    }
    room.close();
    for (let minute = 0; minute < 3; minute++) {
      device.clock.advance(60_000);
      server.beat();
    }
    const numbers = Array.from({ length: server.seqs.own }, (_, n) => `order ${n + 1}`);
    assert.deepEqual([payments(events), openSockets(device).length], [numbers, 1], `seed ${seed}`);
  }
});
