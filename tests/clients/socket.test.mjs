import assert from "node:assert/strict";
import { test } from "node:test";

import { createClient } from "../../clients/miniprogram/src/qlive.js";
import { FakeDevice, seededRandom } from "./fakes.mjs";
import { ANNA, BERT, HOST, bye, event, resumed, snapshot } from "./frames.mjs";

const BASE = "https://example.com/wx/api/qlive";

/** A device of Bert with a room whose events are recorded in `events`. */
function newRoom(options = {}) {
  const stored = new Map([["qlive.session", JSON.stringify({ token: "t", user_id: BERT.user_id })]]);
  const device = new FakeDevice({ stored, ...options });
  const client = createClient({ base: BASE, platform: device.platform });
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

function queryOf(socket) {
  return Object.fromEntries(new URL(socket.url).searchParams);
}

const applyEvent = (seq) => event(seq, "micro_apply", { ...ANNA, applied_at: seq, expires_at: 99 });
const phases = (events) => events.filter(([name]) => name === "connection").map(([, c]) => c.phase);

test("the token is sent in a header where the platform supports it, never in the URL", () => {
  const { device, room } = newRoom();
  room.open();
  device.socket.open();
  assert.equal(device.socket.url, "wss://example.com/wx/api/qlive/ws/?live_id=1");
  assert.deepEqual(device.socket.headers, { Authorization: "QLiveToken t" });
  assert.deepEqual(device.socket.sent, []);
});

test("without socket headers the first frame carries the token", () => {
  const { device, room } = newRoom({ socketHeaders: false });
  room.open();
  device.socket.open();
  assert.deepEqual(device.socket.headers, {});
  assert.deepEqual(device.socket.sent, [{ type: "auth", token: "t" }]);
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

test("a connection resumes repeatedly without missed events", () => {
  const { device, room, events } = newLiveRoom();
  for (let n = 0; n < 4; n++) {
    device.socket.disconnect(1001);
    device.clock.runNext();
    assert.equal(queryOf(device.socket).since, "7");
    device.socket.receive(resumed(7, 0));
    assert.deepEqual(events.at(-1)[1], { phase: "resumed", replayed: 0 });
    device.clock.advance(31_000);
  }
  assert.equal(room.state.seq, 7);
});

test("a resume that the server resets yields a new snapshot with the reason", () => {
  const { device, room, events } = newLiveRoom();
  device.socket.disconnect(4000);
  device.clock.runNext();
  device.socket.receive({ ...snapshot(2, {}, "e2"), reset: "epoch" });
  assert.deepEqual(events.at(-1)[1], { phase: "live", reset: "epoch" });
  assert.deepEqual([room.state.epoch, room.state.seq], ["e2", 2]);
});

test("a snapshot between two events replaces the room and numbering continues from it", () => {
  const { device, room, events } = newLiveRoom();
  device.socket.receive(applyEvent(8));
  device.socket.receive({ ...snapshot(400, { room_name: "later" }), reset: "too_old" });
  assert.deepEqual(events.at(-1)[1], { phase: "live", reset: "too_old" });
  assert.deepEqual([room.state.seq, room.state.room.applicants.length], [400, 0]);
  device.socket.receive(applyEvent(9)); // an event from before the snapshot
  device.socket.receive({ type: "heartbeat", seq: 400, ts: 1 });
  device.socket.receive(applyEvent(401));
  assert.deepEqual([room.state.seq, room.state.room.room_name], [401, "later"]);
  assert.equal(room.state.room.applicants.length, 1);
  assert.ok(!device.socket.closed);
  assert.equal(device.sockets.length, 1);
  device.socket.disconnect();
  device.clock.runNext();
  assert.equal(queryOf(device.socket).since, "401");
});

test("an invitation that only a snapshot between two events has is emitted", () => {
  const { device, events } = newLiveRoom();
  const row = { ...BERT, applied_at: null, invited: true, expires_at: 50 };
  device.socket.receive({ ...snapshot(400, { applicants: [row] }), reset: "too_old" });
  assert.deepEqual(events.filter(([name]) => name === "invited").map(([, it]) => it.expires_at), [50]);
});

test("a skipped number or a heartbeat that is ahead reconnects at the last number", () => {
  for (const frame of [applyEvent(9), { type: "heartbeat", seq: 8, ts: 1 }]) {
    const { device, room, events } = newLiveRoom();
    const { socket } = device;
    socket.receive(frame);
    assert.ok(socket.closed);
    assert.deepEqual([events.at(-1)[1].phase, events.at(-1)[1].reason], ["reconnecting", "gap"]);
    socket.receive(applyEvent(8)); // a frame of the old connection
    assert.equal(room.state.seq, 7);
    device.clock.runNext();
    assert.equal(queryOf(device.socket).since, "7");
  }
});

test("the same gap twice requests a new snapshot", () => {
  const { device, room } = newLiveRoom();
  device.socket.receive(applyEvent(9));
  device.clock.runNext();
  device.socket.receive(resumed(8, 1));
  device.socket.receive(applyEvent(9));
  device.clock.runNext();
  assert.deepEqual(queryOf(device.socket), { live_id: "1" });
  device.socket.receive(snapshot(9));
  assert.equal(room.state.seq, 9);
});

test("an inconsistent resume requests a new snapshot", () => {
  const { device } = newLiveRoom();
  device.socket.disconnect();
  device.clock.runNext();
  device.socket.receive(resumed(12, 3));
  device.clock.runNext();
  assert.deepEqual(queryOf(device.socket), { live_id: "1" });
});

test("a bye ends the connection before the close frame, with its retry delay", () => {
  const { device, events } = newLiveRoom();
  device.socket.receive(bye(4000, 7000));
  assert.ok(device.socket.closed);
  device.socket.disconnect(1000);
  assert.deepEqual(events.at(-1)[1], {
    ...{ phase: "reconnecting", attempt: 1, delay: 7000, code: 4000, reason: "why" },
  });
  assert.equal(events.length, 1);
});

for (const code of [4500, 4503, 4504, 4509, 4510, 4777]) {
  test(`close code ${code} is final`, () => {
    const { device, events } = newLiveRoom();
    device.socket.receive(bye(code));
    device.clock.advance(600_000);
    assert.equal(device.sockets.length, 1);
    assert.deepEqual(events, [["connection", { phase: "closed", code, reason: "why" }]]);
  });
}

for (const code of [1000, 1001, 1006, 1012, 4001, 4003, 4029, 4499, 5000]) {
  test(`close code ${code} reconnects`, () => {
    const { device } = newLiveRoom();
    device.socket.disconnect(code);
    device.clock.advance(500);
    assert.equal(device.sockets.length, 2);
  });
}

test("a revoked token signs out and a new login resumes the room", async () => {
  const { device, client, room, events } = newLiveRoom();
  device.socket.receive(bye(4401));
  assert.deepEqual(events.map(([name]) => name), ["connection", "signedOut"]);
  assert.deepEqual([events[0][1].code, client.token], [4401, ""]);
  device.clock.advance(600_000);
  assert.equal(device.sockets.length, 1);
  const json = { status: 0, token: "t2", user_id: BERT.user_id };
  device.responses.push({ status: 200, json });
  await client.login({ appId: "a", code: "c" });
  room.open();
  assert.equal(device.socket.headers.Authorization, "QLiveToken t2");
  assert.equal(queryOf(device.socket).since, "7");
});

test("a bye for an old token does not sign out a new session", async () => {
  const { device, client, events } = newLiveRoom();
  const json = { status: 0, token: "t2", user_id: BERT.user_id };
  device.responses.push({ status: 200, json });
  await client.login({ appId: "a", code: "c" });
  device.socket.receive(bye(4401));
  assert.deepEqual([events.length, events[0][1].phase], [1, "reconnecting"]);
  device.clock.runNext();
  assert.equal(device.socket.headers.Authorization, "QLiveToken t2");
  assert.equal(queryOf(device.socket).since, "7");
});

test("silence is pinged and then ends the connection", () => {
  const { device, events } = newLiveRoom();
  const [socket] = device.sockets;
  device.clock.advance(31_999);
  assert.deepEqual(socket.sent, []);
  device.clock.advance(1);
  assert.deepEqual(socket.sent, [{ type: "ping", n: 1 }]);
  device.clock.advance(8_000);
  assert.ok(socket.closed);
  assert.deepEqual([events.at(-1)[1].phase, events.at(-1)[1].reason], ["reconnecting", "silent"]);
});

test("any frame, even a pong, resets the silence timer", () => {
  const { device } = newLiveRoom();
  for (let n = 0; n < 20; n++) {
    device.clock.advance(33_000);
    device.socket.receive({ type: "pong", n: 1 });
  }
  assert.equal(device.sockets.length, 1);
  assert.equal(device.socket.sent.length, 20);
});

test("a connection without a snapshot is dropped after ten seconds", () => {
  const { device, room } = newRoom();
  room.open();
  device.socket.open();
  device.clock.advance(5_000);
  device.socket.receive({ type: "heartbeat", seq: 0, ts: 1 });
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

test("waking after a sleep drops the old connection", () => {
  const { device } = newLiveRoom();
  device.clock.now += 300_000; // timers do not run while the device sleeps
  device.wake();
  assert.ok(device.sockets[0].closed);
});

test("waking pings a live connection at once and drops it without an answer", () => {
  const { device, events } = newLiveRoom();
  const [socket] = device.sockets;
  device.clock.advance(1_000);
  device.wake();
  assert.deepEqual(socket.sent, [{ type: "ping", n: 1 }]);
  device.clock.advance(4_000);
  device.wake(); // app shown and network online: one ping
  device.clock.advance(999);
  assert.ok(!socket.closed);
  device.clock.advance(1);
  assert.ok(socket.closed);
  assert.equal(socket.sent.length, 1);
  assert.deepEqual([events.at(-1)[1].phase, events.at(-1)[1].reason], ["reconnecting", "silent"]);
});

test("a connection that answers the wake ping is kept and watched", () => {
  const { device } = newLiveRoom();
  const [socket] = device.sockets;
  device.wake();
  device.clock.advance(4_999);
  socket.receive({ type: "pong", n: 1 });
  device.clock.advance(31_999);
  assert.equal(socket.sent.length, 1);
  device.clock.advance(1);
  assert.equal(socket.sent.length, 2);
  device.clock.advance(8_000);
  assert.ok(socket.closed);
});

test("a connection without a snapshot is not pinged on wake", () => {
  const { device, room } = newRoom();
  room.open();
  device.clock.advance(9_000);
  device.wake();
  assert.deepEqual(device.socket.sent, []);
  device.clock.advance(1_500);
  assert.equal(device.sockets.length, 2);
});

test("a platform without a socket is retried within the attempt limit", () => {
  const { device, room, events } = newRoom();
  const { connectSocket } = device.platform;
  let tries = 0;
  device.platform.connectSocket = () => {
    tries += 1;
    throw new Error("too many sockets");
  };
  room.open();
  assert.deepEqual(phases(events), ["connecting"], "the failure is reported asynchronously");
  device.clock.advance(59_000);
  assert.ok(tries > 3 && tries <= 10, `${tries} attempts`);
  const { phase, code, reason } = events.at(-1)[1];
  assert.deepEqual([phase, code, reason], ["reconnecting", 0, "too many sockets"]);
  device.platform.connectSocket = connectSocket;
  device.clock.runNext();
  device.socket.receive(snapshot(7));
  assert.deepEqual(events.at(-1)[1], { phase: "live", reset: null });
});

test("a missing socket is not reported after close", () => {
  const { device, room, events } = newRoom();
  device.platform.connectSocket = () => {
    throw new Error("too many sockets");
  };
  room.open();
  room.close();
  device.clock.advance(60_000);
  assert.deepEqual(phases(events), ["connecting", "closed"]);
});

test("an event is emitted once and in sequence, not beyond a gap", () => {
  const { device, room } = newLiveRoom();
  const emitted = [];
  room.on("frame", ({ type, seq }) => emitted.push([type, seq, room.state.seq]));
  const gift = event(9, "gift", {});
  device.socket.receive(gift);
  device.clock.runNext();
  device.socket.receive(resumed(9, 2));
  device.socket.receive(applyEvent(8));
  device.socket.receive(gift);
  device.socket.receive(gift);
  assert.deepEqual(emitted, [["resumed", 9, 7], ["micro_apply", 8, 8], ["gift", 9, 9]]);
});

test("no event is emitted after close, even from within a listener", () => {
  const { device, room, events } = newLiveRoom();
  room.on("state", () => room.close());
  device.socket.receive(applyEvent(8));
  assert.ok(device.socket.closed);
  assert.deepEqual(events, [["connection", { phase: "closed", code: 1000, reason: "left" }]]);
  device.socket.receive(applyEvent(9));
  device.clock.advance(600_000);
  assert.deepEqual([device.sockets.length, room.state.seq, device.wake], [1, 8, null]);
});

test("an invitation is emitted once, and only to the invited user", () => {
  const { device, room, events } = newRoom();
  const row = { ...BERT, applied_at: null, invited: true, expires_at: 50 };
  room.open();
  device.socket.receive(snapshot(7, { applicants: [row] }));
  device.socket.receive(event(8, "micro_invite", { ...ANNA, expires_at: 60 }));
  device.socket.receive(event(9, "micro_invite", { ...BERT, expires_at: 70 }));
  const invited = events.filter(([name]) => name === "invited").map(([, { expires_at }]) => expires_at);
  assert.deepEqual(invited, [50, 70]);
});

test("own state changes are emitted as named events", () => {
  const { device, events } = newLiveRoom();
  const seat = { play_url: "u", area: "", age: 20 };
  device.socket.receive(event(8, "micro_refuse", { ...BERT, reason: "expired" }));
  device.socket.receive(event(9, "micro_accept", { ...BERT, ...seat }));
  device.socket.receive(event(10, "micro_accept", { ...ANNA, ...seat }));
  device.socket.receive(event(11, "micro_leave", { ...BERT, reason: "host" }));
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

const unstableServers = {
  "closes immediately": (socket) => socket.disconnect(1006),
  "sends a snapshot first": (socket) => {
    socket.receive(snapshot(7));
    socket.disconnect(1006);
  },
  "sends a bye with a short delay": (socket) => socket.receive(bye(4000, 100)),
};
for (const [behaviour, serve] of Object.entries(unstableServers)) {
  for (const [label, random] of [["zero jitter", () => 0], ["seed 3", seededRandom(3)], ["seed 8", seededRandom(8)]]) {
    test(`a server that accepts and ${behaviour} gets at most ten attempts a minute (${label})`, () => {
      const { device, room } = newRoom({ random });
      const at = [];
      device.onSocket = (socket) => {
        at.push(device.clock.now);
        device.clock.setTimeout(() => serve(socket), 0);
      };
      room.open();
      device.clock.advance(600_000);
      for (const from of at) {
        assert.ok(at.filter((time) => time >= from && time < from + 60_000).length <= 10);
      }
      assert.ok(at.length > 20, "it keeps trying");
    });
  }
}

test("repeated waking does not exceed the attempt limit", () => {
  const { device, room } = newRoom();
  device.onSocket = (socket) => device.clock.setTimeout(() => socket.disconnect(1006), 0);
  room.open();
  for (let second = 0; second < 59; second++) {
    device.clock.advance(1000);
    device.wake();
  }
  assert.ok(device.sockets.length <= 10);
});
