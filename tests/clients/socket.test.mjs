import assert from "node:assert/strict";
import { test } from "node:test";

import { createClient } from "../../clients/miniprogram/src/qlive.js";
import { FakeDevice, flushPromises, seededRandom } from "./fakes.mjs";
import { ANNA, BERT, HOST, bye, event, resumed, snapshot } from "./frames.mjs";

const BASE = "https://example.com/wx/api/qlive";
const NEW_LOGIN = { status: 200, json: { status: 0, token: "t2", user_id: BERT.user_id } };

/** A device of Bert with a room whose events are recorded in `events`. */
function newRoom({ signInAgain, ...options } = {}) {
  const stored = new Map([["qlive.session", JSON.stringify({ token: "t", user_id: BERT.user_id })]]);
  const device = new FakeDevice({ stored, ...options });
  if (signInAgain) device.platform.login = async () => "code";
  const client = createClient({ base: BASE, platform: device.platform, appId: "a", signInAgain });
  const room = client.room(1);
  const events = [];
  for (const name of ["connection", "invited", "seated", "refused", "offMic", "audience"]) {
    room.on(name, (data) => events.push([name, data]));
  }
  client.on("signedOut", ({ code }) => events.push(["signedOut", code]));
  return { device, client, room, events };
}

/** The same with the socket open and a snapshot at sequence number 7. */
function newLiveRoom(options) {
  const fixture = newRoom(options);
  fixture.room.open();
  fixture.device.socket.open();
  fixture.device.socket.receive(snapshot(7));
  fixture.events.length = 0;
  return fixture;
}

const queryOf = (socket) => Object.fromEntries(new URL(socket.url).searchParams);
const applyEvent = (seq) => event(seq, "micro_apply", { ...ANNA, applied_at: seq, expires_at: 99 });
const phases = (events) => events.filter(([name]) => name === "connection").map(([, c]) => c.phase);
const invitations = (events) => events.filter(([name]) => name === "invited").map(([, { expires_at }]) => expires_at);

function assertReconnecting([, connection], reason) {
  assert.deepEqual([connection.phase, connection.reason], ["reconnecting", reason]);
}

// ---- frames

test("the token is sent in a header, or in the first frame, never in the URL", () => {
  for (const [socketHeaders, headers, sent] of [
    [true, { Authorization: "QLiveToken t" }, []],
    [false, {}, [{ type: "auth", token: "t" }]],
  ]) {
    const { device, room } = newRoom({ socketHeaders });
    room.open();
    device.socket.open();
    assert.equal(device.socket.url, "wss://example.com/wx/api/qlive/ws/?live_id=1");
    assert.deepEqual([device.socket.headers, device.socket.sent], [headers, sent]);
  }
});

test("the first frame is the room and later events are folded into it", () => {
  const { device, room, events } = newRoom();
  const shown = [];
  room.on("state", (now) => shown.push(now));
  room.open();
  device.socket.receive(snapshot(7));
  device.socket.receive(applyEvent(8));
  device.socket.receive({ type: "audience", data: { audience_count: 9, num_list: [1, 1, 1, 1] } });
  assert.equal(shown.length, 3);
  assert.deepEqual([shown[0].applicants.length, shown[1].applicants.length], [0, 1]);
  assert.deepEqual([room.state.seq, room.state.room.audience_count], [8, 9]);
  assert.deepEqual(phases(events), ["connecting", "live"]);
  assert.equal(events.at(-1)[0], "audience");
});

test("an event is emitted once and in sequence, not beyond a gap", () => {
  const { device, room } = newLiveRoom();
  const emitted = [];
  room.on("frame", ({ type, seq }) => emitted.push([type, seq, room.state.seq]));
  const gift = event(9, "gift", {});
  device.socket.receive(gift);
  device.clock.runNext();
  for (const frame of [resumed(9, 2), applyEvent(8), gift, gift]) device.socket.receive(frame);
  assert.deepEqual(emitted, [["resumed", 9, 7], ["micro_apply", 8, 8], ["gift", 9, 9]]);
});

test("the user's own invitations and changes are emitted as named events, once", () => {
  const { device, room, events } = newRoom();
  const row = { ...BERT, applied_at: null, invited: true, expires_at: 50 };
  const seat = { play_url: "u", area: "", age: 20 };
  room.open();
  device.socket.receive(snapshot(7, { applicants: [row] }));
  device.socket.receive(event(8, "micro_invite", { ...ANNA, expires_at: 60 }));
  device.socket.receive(event(9, "micro_invite", { ...BERT, expires_at: 70 }));
  assert.deepEqual(invitations(events), [50, 70]);
  events.length = 0;
  device.socket.receive(event(10, "micro_refuse", { ...BERT, reason: "expired" }));
  device.socket.receive(event(11, "micro_accept", { ...BERT, ...seat }));
  device.socket.receive(event(12, "micro_accept", { ...ANNA, ...seat }));
  device.socket.receive(event(13, "micro_leave", { ...BERT, reason: "host" }));
  assert.deepEqual(events.map(([name]) => name), ["refused", "seated", "offMic"]);
});

test("unknown or invalid frames are ignored", () => {
  const { device, room } = newLiveRoom();
  const frames = [];
  room.on("frame", ({ type }) => frames.push(type));
  for (const frame of ["}{", "7", "null", { type: "fireworks" }, event(8, "wedding", {})]) {
    device.socket.receive(frame);
  }
  assert.deepEqual([frames, room.state.seq], [["fireworks", "wedding"], 8]);
});

test("an exception in a listener is rethrown without stopping the room", () => {
  const { device, room } = newLiveRoom();
  room.on("frame", () => {
    throw new Error("mine");
  });
  device.socket.receive(applyEvent(8));
  assert.equal(room.state.seq, 8);
  assert.throws(() => device.clock.runNext(), /mine/);
});

test("no event is emitted after close, even from within a listener", () => {
  const { device, room, events } = newLiveRoom();
  room.on("state", () => room.close());
  device.socket.receive(applyEvent(8));
  assert.ok(device.socket.closed);
  assert.deepEqual(events, [["connection", { phase: "closed", code: 1000, reason: "left" }]]);
  device.socket.receive(applyEvent(9));
  device.clock.advance(600_000);
  assert.deepEqual([device.sockets.length, room.state.seq, device.wakes.size], [1, 8, 0]);
});

// ---- resuming

test("a lost connection resumes at the last sequence number and reports the replayed events", () => {
  const { device, room, events } = newLiveRoom();
  device.socket.receive(applyEvent(8));
  device.socket.disconnect(1006);
  assert.deepEqual(events.at(-1)[1], {
    ...{ phase: "reconnecting", attempt: 1, delay: 250, code: 1006, reason: "" },
  });
  device.clock.advance(249);
  assert.equal(device.sockets.length, 1);
  device.clock.advance(1);
  assert.deepEqual(queryOf(device.socket), { live_id: "1", epoch: "e1", since: "8" });
  device.socket.receive(resumed(10, 2));
  device.socket.receive(event(9, "live_pause", HOST));
  assert.deepEqual(phases(events), ["reconnecting", "connecting"], "still replaying");
  device.socket.receive(event(10, "live_resume", HOST));
  assert.deepEqual(events.at(-1)[1], { phase: "resumed", replayed: 2 });
  assert.equal(room.state.seq, 10);
});

test("a snapshot between two events replaces the room and numbering continues from it", () => {
  const { device, room, events } = newLiveRoom();
  const row = { ...BERT, applied_at: null, invited: true, expires_at: 50 };
  device.socket.receive(applyEvent(8));
  device.socket.receive({ ...snapshot(400, { room_name: "later", applicants: [row] }), reset: "too_old" });
  assert.deepEqual(events.at(-1)[1], { phase: "live", reset: "too_old" });
  assert.deepEqual([room.state.seq, invitations(events)], [400, [50]]);
  device.socket.receive(applyEvent(9)); // an event from before the snapshot
  device.socket.receive({ type: "heartbeat", seq: 400, ts: 1 });
  device.socket.receive(applyEvent(401));
  assert.deepEqual([room.state.seq, room.state.room.room_name], [401, "later"]);
  assert.equal(room.state.room.applicants.length, 2);
  assert.ok(!device.socket.closed);
  device.socket.disconnect();
  device.clock.runNext();
  assert.equal(queryOf(device.socket).since, "401");
});

test("a snapshot with a reason, on request or of another epoch may be of a lower number", () => {
  for (const [gaps, frame] of [
    [0, { ...snapshot(5), reset: "ahead" }],
    [0, snapshot(5, {}, "e2")],
    [1, snapshot(5)],
  ]) {
    const { device, room } = newLiveRoom();
    for (let gap = 0; gap <= gaps; gap++) {
      device.socket.receive(applyEvent(9));
      device.clock.runNext();
      if (gap < gaps) device.socket.receive(resumed(7, 0));
    }
    device.socket.receive(frame);
    assert.deepEqual([room.state.seq, room.state.epoch], [5, frame.epoch]);
  }
});

test("a skipped number or a heartbeat that is ahead reconnects at the last number", () => {
  for (const frame of [applyEvent(9), { type: "heartbeat", seq: 8, ts: 1 }]) {
    const { device, room, events } = newLiveRoom();
    const { socket } = device;
    socket.receive(frame);
    assert.ok(socket.closed);
    assertReconnecting(events.at(-1), "gap");
    socket.receive(applyEvent(8)); // a frame of the old connection
    assert.equal(room.state.seq, 7);
    device.clock.runNext();
    assert.equal(queryOf(device.socket).since, "7");
  }
});

test("the same gap twice, or an inconsistent resume, requests a new snapshot", () => {
  for (const frames of [[resumed(8, 1), applyEvent(9)], [resumed(12, 3)]]) {
    const { device, room } = newLiveRoom();
    device.socket.receive(applyEvent(9));
    device.clock.runNext();
    frames.forEach((frame) => device.socket.receive(frame));
    device.clock.runNext();
    assert.deepEqual(queryOf(device.socket), { live_id: "1" });
    device.socket.receive(snapshot(9));
    assert.equal(room.state.seq, 9);
  }
});

// ---- the end of a connection

test("a bye ends the connection before the close frame, with its retry delay", () => {
  const { device, events } = newLiveRoom();
  device.socket.receive(bye(4000, 7000));
  assert.ok(device.socket.closed);
  device.socket.disconnect(1000);
  assert.deepEqual(events, [
    ["connection", { phase: "reconnecting", attempt: 1, delay: 7000, code: 4000, reason: "why" }],
  ]);
});

test("some close codes are final, and all others reconnect", () => {
  for (const code of [4500, 4503, 4504, 4509, 4510, 4777]) {
    const { device, events } = newLiveRoom();
    device.socket.receive(bye(code));
    device.clock.advance(600_000);
    assert.equal(device.sockets.length, 1, code);
    assert.deepEqual(events, [["connection", { phase: "closed", code, reason: "why" }]]);
  }
  for (const code of [1000, 1001, 1006, 1012, 4001, 4003, 4029, 4499, 5000]) {
    const { device } = newLiveRoom();
    device.socket.disconnect(code);
    device.clock.advance(500);
    assert.equal(device.sockets.length, 2, code);
  }
});

test("a revoked token signs out and a new login resumes the room", async () => {
  const { device, client, room, events } = newLiveRoom();
  device.socket.receive(bye(4401));
  assert.deepEqual(events.map(([name]) => name), ["connection", "signedOut"]);
  assert.deepEqual([events[0][1].code, client.token], [4401, ""]);
  device.clock.advance(600_000);
  assert.equal(device.sockets.length, 1);
  device.responses.push(NEW_LOGIN);
  await client.login({ appId: "a", code: "c" });
  room.open();
  assert.equal(device.socket.headers.Authorization, "QLiveToken t2");
  assert.equal(queryOf(device.socket).since, "7");
});

test("a bye for an old token does not sign out a new session", async () => {
  const { device, client, events } = newLiveRoom();
  device.responses.push(NEW_LOGIN);
  await client.login({ appId: "a", code: "c" });
  device.socket.receive(bye(4401));
  assert.deepEqual([events.length, events[0][1].phase], [1, "reconnecting"]);
  device.clock.runNext();
  assert.equal(device.socket.headers.Authorization, "QLiveToken t2");
});

// ---- silence and sleep

test("silence is pinged and then ends the connection, unless any frame arrives", () => {
  const { device, events } = newLiveRoom();
  const [socket] = device.sockets;
  for (let n = 1; n < 20; n++) {
    device.clock.advance(33_000);
    assert.equal(socket.sent.length, n);
    socket.receive({ type: "pong", n });
  }
  device.clock.advance(31_999);
  assert.equal(socket.sent.length, 19);
  device.clock.advance(1);
  assert.equal(socket.sent.at(-1).type, "ping");
  device.clock.advance(7_999);
  assert.ok(!socket.closed);
  device.clock.advance(1);
  assert.ok(socket.closed);
  assertReconnecting(events.at(-1), "silent");
});

test("a connection without a snapshot is dropped after ten seconds, and not pinged on wake", () => {
  const { device, room } = newRoom();
  room.open();
  device.socket.open();
  device.clock.advance(5_000);
  device.socket.receive({ type: "heartbeat", seq: 0, ts: 1 });
  device.wake();
  assert.deepEqual(device.socket.sent, []);
  device.clock.advance(5_500);
  assert.equal(device.sockets.length, 2);
});

test("30 seconds of a live connection reset the failure count", () => {
  const { device, events } = newLiveRoom();
  const attempts = () => events.map(([, data]) => data.attempt).filter((n) => n !== undefined).at(-1);
  for (const [liveMs, attempt] of [[1_000, 1], [29_000, 2], [29_999, 3], [30_000, 1]]) {
    device.clock.advance(liveMs);
    device.socket.disconnect();
    assert.equal(attempts(), attempt);
    device.clock.runNext();
    device.socket.receive(resumed(7, 0));
    assert.deepEqual(events.at(-1)[1], { phase: "resumed", replayed: 0 });
  }
});

test("waking reconnects immediately, but not before the server's retry delay", () => {
  const { device } = newLiveRoom({ random: () => 0.9 });
  device.socket.disconnect();
  device.wake();
  device.clock.advance(100);
  assert.equal(device.sockets.length, 2);
  device.socket.receive(bye(4000, 9_000));
  device.wake();
  device.clock.advance(8_999);
  assert.equal(device.sockets.length, 2);
  device.clock.advance(1);
  assert.equal(device.sockets.length, 3);
});

test("waking opens a second connection beside the old one, and the first that answers stays", () => {
  for (const oldIsAlive of [true, false]) {
    const { device, room, events } = newLiveRoom();
    const [old] = device.sockets;
    device.clock.advance(1_000);
    device.wake();
    device.wake(); // app shown and network online: one more connection
    const [, rival, ...others] = device.sockets;
    assert.deepEqual([old.sent, queryOf(rival).since, others], [[{ type: "ping", n: 1 }], "7", []]);
    if (oldIsAlive) {
      old.receive({ type: "pong", n: 1 });
      assert.deepEqual([rival.closed, old.closed, events], [true, false, []]);
      old.receive(applyEvent(8));
    } else {
      old.receive(applyEvent(8)); // received before the sleep
      old.receive(bye(4509)); // the server has replaced it
      assert.deepEqual([rival.closed, old.closed, events], [false, true, []]);
      rival.receive(resumed(8, 1));
      rival.receive(applyEvent(8));
      assert.deepEqual(events, [["connection", { phase: "resumed", replayed: 1 }]]);
    }
    assert.equal(room.state.seq, 8);
    device.clock.advance(31_000);
    assert.equal(device.sockets.length, 2);
  }
});

test("the answer to an earlier ping does not count for a wake", () => {
  const { device, events } = newLiveRoom();
  const [old] = device.sockets;
  device.clock.advance(33_000);
  device.wake();
  assert.deepEqual(old.sent.map(({ n }) => n), [1, 2]);
  old.receive({ type: "pong", n: 1 }); // received before the sleep
  assert.ok(!device.socket.closed);
  device.clock.advance(5_000);
  assert.ok(old.closed);
  device.socket.receive(resumed(7, 0));
  assert.deepEqual(events, [["connection", { phase: "resumed", replayed: 0 }]]);
});

test("a second connection that is closed while it opens is closed when it has opened", () => {
  const { device } = newLiveRoom();
  const [old] = device.sockets;
  device.wake();
  const rival = device.socket;
  old.receive({ type: "pong", n: 1 });
  rival.closed = false; // as on a phone, where it could not be closed yet
  rival.open();
  assert.ok(rival.closed);
});

test("after failures, a wake resumes as fast as the server answers", () => {
  const { device, events } = newLiveRoom({ random: () => 1 });
  for (let failures = 0; failures < 5; failures++) {
    device.socket.disconnect();
    device.clock.runNext();
  }
  device.socket.disconnect();
  device.wake();
  device.clock.advance(100); // no connection: the next attempt
  const hanging = device.socket;
  device.clock.advance(3_000);
  device.wake(); // one that hangs: another one beside it
  assert.ok(device.socket !== hanging && !hanging.closed);
  device.socket.receive(resumed(7, 0));
  assert.ok(hanging.closed);
  assert.deepEqual(events.at(-1)[1], { phase: "resumed", replayed: 0 });
});

test("a connection that its own client has replaced is resumed, one of another device is not", () => {
  for (const [ms, rivalStays, phase] of [[4_999, false, "reconnecting"], [5_001, false, "closed"], [1_000, true, "closed"]]) {
    const { device, events } = newLiveRoom();
    const [old] = device.sockets;
    device.clock.advance(1_000);
    device.wake();
    if (rivalStays) device.socket.receive(resumed(7, 0));
    else old.receive({ type: "pong", n: 1 }); // the second connection is closed, but the server knows it
    device.clock.advance(ms);
    (rivalStays ? device.socket : old).receive(bye(4509));
    assert.equal(events.at(-1)[1].phase, phase);
  }
});

test("a second connection that fails, or is one too many, leaves the old one alone", () => {
  const { device, events } = newLiveRoom();
  const [old] = device.sockets;
  for (let n = 0; n < 20; n++) {
    device.wake();
    if (device.sockets.length > 1) device.socket.disconnect();
    old.receive({ type: "pong", n: n + 1 });
    device.clock.advance(1_500);
  }
  assert.deepEqual([device.sockets.length, old.closed, events], [10, false, []]);
  for (let n = 0; n < 3; n++) {
    device.clock.advance(20_000);
    old.receive({ type: "heartbeat", seq: 7, ts: 1 });
  }
  device.wake();
  device.socket.receive(bye(4503));
  assert.deepEqual(events, [["connection", { phase: "closed", code: 4503, reason: "why" }]]);
  assert.ok(old.closed);
});

test("waking drops a connection without an answer and keeps one that answers the ping", () => {
  const { device, events } = newLiveRoom();
  const [socket] = device.sockets;
  device.wake();
  device.clock.advance(4_999);
  socket.receive({ type: "pong", n: 1 });
  device.clock.advance(31_999);
  assert.ok(!socket.closed);
  device.wake();
  device.socket.disconnect();
  device.clock.advance(5_000);
  assert.ok(socket.closed);
  assertReconnecting(events.at(-1), "silent");
});

test("waking after a sleep drops a connection that has been silent for too long", () => {
  const { device } = newLiveRoom({ random: () => 1 });
  const [socket] = device.sockets;
  device.clock.now += 300_000; // timers do not run while the device sleeps
  device.wake();
  assert.ok(socket.closed);
  device.clock.advance(100);
  assert.equal(device.sockets.length, 2);
});

test("a client that signs in again resumes with the new token, or closes if it may not", async () => {
  for (const [responses, phase, sockets] of [
    [[NEW_LOGIN], "connecting", 2],
    [[{ status: 403, json: { code: "banned", detail: "!" } }], "closed", 1],
    [[undefined, NEW_LOGIN], "reconnecting", 1], // no network at first
  ]) {
    const { device, events } = newLiveRoom({ signInAgain: true });
    device.responses.push(...responses);
    device.socket.receive(bye(4401));
    await flushPromises();
    assert.deepEqual([phases(events).at(-1), device.sockets.length], [phase, sockets]);
    if (phase === "reconnecting") {
      device.clock.runNext();
      device.socket.receive(bye(4401));
      await flushPromises();
    }
    if (phase === "connecting") {
      device.socket.receive(bye(4401)); // the new token is refused as well: no endless series of sign-ins
      await flushPromises();
      assert.deepEqual([phases(events).at(-1), device.sockets.length], ["closed", 2]);
    }
    if (phase !== "closed") assert.equal(device.socket.headers.Authorization, "QLiveToken t2");
    assert.deepEqual(events.filter(([name]) => name === "signedOut").length, phase === "closed" ? 1 : 0);
  }
});

// ---- the limit of attempts

test("a platform without a socket is retried within the attempt limit, until the room is closed", () => {
  let tries = 0;
  const fail = () => {
    tries += 1;
    throw new Error("too many sockets");
  };
  const { device, room, events } = newRoom();
  const { connectSocket } = device.platform;
  device.platform.connectSocket = fail;
  room.open();
  assert.deepEqual(phases(events), ["connecting"], "the failure is reported asynchronously");
  device.clock.advance(59_000);
  assert.ok(tries > 3 && tries <= 10, `${tries} attempts`);
  assertReconnecting(events.at(-1), "too many sockets");
  device.platform.connectSocket = connectSocket;
  device.clock.runNext();
  device.socket.receive(snapshot(7));
  assert.deepEqual(events.at(-1)[1], { phase: "live", reset: null });

  const closed = newRoom();
  closed.device.platform.connectSocket = fail;
  closed.room.open();
  closed.room.close();
  closed.device.clock.advance(60_000);
  assert.deepEqual(phases(closed.events), ["connecting", "closed"]);
});

const unstableServers = {
  "closes immediately": (socket) => socket.disconnect(1006),
  "sends a snapshot first": (socket) => {
    socket.receive(snapshot(7));
    socket.disconnect(1006);
  },
  "sends a bye with a short delay": (socket) => socket.receive(bye(4000, 100)),
};
for (const [behaviour, serve] of Object.entries(unstableServers)) {
  test(`a server that accepts and ${behaviour} gets at most ten attempts a minute`, () => {
    for (const random of [() => 0, seededRandom(3)]) {
      const { device, room } = newRoom({ random });
      const at = [];
      device.onSocket = (socket) => {
        at.push(device.clock.now);
        device.clock.setTimeout(() => serve(socket), 0);
      };
      room.open();
      for (let second = 0; second < 600; second++) {
        device.clock.advance(1000);
        if (second % 2) device.wake(); // which asks for an attempt at once
      }
      for (const from of at) {
        assert.ok(at.filter((time) => time >= from && time < from + 60_000).length <= 10);
      }
      assert.ok(at.length > 20, "it keeps trying");
    }
  });
}
