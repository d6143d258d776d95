import assert from "node:assert/strict";
import { test } from "node:test";

import { createClient } from "../../clients/miniprogram/src/qlive.js";
import { FakePhone, dice } from "./fakes.mjs";
import { ANNA, BERT, HOST, bye, event, resumed, snapshot } from "./rooms.mjs";

const BASE = "https://example.com/wx/api/qlive";

/** A phone with Bert's room, which is told of everything in `heard`. */
function aRoom(how = {}) {
  const kept = new Map([["qlive.session", JSON.stringify({ token: "t", user_id: BERT.user_id })]]);
  const phone = new FakePhone({ kept, ...how });
  const client = createClient({ base: BASE, platform: phone.platform });
  const room = client.room(1);
  const heard = [];
  for (const name of ["connection", "invited", "seated", "refused", "offMic", "audience"]) {
    room.on(name, (said) => heard.push([name, said]));
  }
  client.on("signedOut", ({ code }) => heard.push(["signedOut", code]));
  return { phone, client, room, heard };
}

/** The same, open and live at number 7. */
function aLiveRoom(how) {
  const here = aRoom(how);
  here.room.open();
  here.phone.socket.open();
  here.phone.socket.say(snapshot(7));
  here.heard.length = 0;
  return here;
}

function asked(socket) {
  return Object.fromEntries(new URL(socket.url).searchParams);
}

const apply = (seq) => event(seq, "micro_apply", { ...ANNA, applied_at: seq, expires_at: 99 });
const phases = (heard) => heard.filter(([name]) => name === "connection").map(([, c]) => c.phase);

test("where headers are possible the token goes in one, never in the address", () => {
  const { phone, room } = aRoom();
  room.open();
  phone.socket.open();
  assert.equal(phone.socket.url, "wss://example.com/wx/api/qlive/ws/?live_id=1");
  assert.deepEqual(phone.socket.headers, { Authorization: "QLiveToken t" });
  assert.deepEqual(phone.socket.sent, []);
});

test("in a browser the first frame brings the token", () => {
  const { phone, room } = aRoom({ socketHeaders: false });
  room.open();
  phone.socket.open();
  assert.deepEqual(phone.socket.headers, {});
  assert.deepEqual(phone.socket.sent, [{ type: "auth", token: "t" }]);
});

test("the first frame is the room, and every event after it is folded in", () => {
  const { phone, room, heard } = aRoom();
  const shown = [];
  room.on("state", (now) => shown.push(now));
  room.open();
  phone.socket.say(snapshot(7));
  phone.socket.say(apply(8));
  phone.socket.say({ type: "audience", data: { audience_count: 9, num_list: [1, 1, 1, 1] } });
  assert.equal(shown.length, 3);
  assert.deepEqual([shown[0].applicants.length, shown[1].applicants.length], [0, 1]);
  assert.deepEqual([room.state.seq, room.state.room.audience_count], [8, 9]);
  assert.deepEqual(phases(heard), ["connecting", "live"]);
  assert.equal(heard.at(-1)[0], "audience");
});

test("a lost connection is taken up where it was, and what was missed is counted", () => {
  const { phone, room, heard } = aLiveRoom();
  phone.socket.say(apply(8));
  phone.socket.end(1006);
  assert.deepEqual(heard.at(-1)[1], {
    ...{ phase: "reconnecting", attempt: 1, delay: 250, code: 1006, reason: "" },
  });
  phone.clock.pass(249);
  assert.equal(phone.sockets.length, 1);
  phone.clock.pass(1);
  assert.deepEqual(asked(phone.socket), { live_id: "1", epoch: "e1", since: "8" });
  phone.socket.say(resumed(10, 2));
  phone.socket.say(event(9, "live_pause", HOST));
  assert.deepEqual(phases(heard), ["reconnecting", "connecting"], "not yet caught up");
  phone.socket.say(event(10, "live_resume", HOST));
  assert.deepEqual(heard.at(-1)[1], { phase: "resumed", replayed: 2 });
  assert.equal(room.state.seq, 10);
});

test("it is taken up as well when nothing has happened, and again and again", () => {
  const { phone, room, heard } = aLiveRoom();
  for (let n = 0; n < 4; n++) {
    phone.socket.end(1001);
    phone.clock.run();
    assert.equal(asked(phone.socket).since, "7");
    phone.socket.say(resumed(7, 0));
    assert.deepEqual(heard.at(-1)[1], { phase: "resumed", replayed: 0 });
    phone.clock.pass(31_000);
  }
  assert.equal(room.state.seq, 7);
});

test("who cannot go on is given the room anew, and told why", () => {
  const { phone, room, heard } = aLiveRoom();
  phone.socket.end(4000);
  phone.clock.run();
  phone.socket.say({ ...snapshot(2, {}, "e2"), reset: "epoch" });
  assert.deepEqual(heard.at(-1)[1], { phase: "live", reset: "epoch" });
  assert.deepEqual([room.state.epoch, room.state.seq], ["e2", 2]);
});

test("a missing number, or a heartbeat that is ahead, asks for what is missing", () => {
  for (const frame of [apply(9), { type: "heartbeat", seq: 8, ts: 1 }]) {
    const { phone, room, heard } = aLiveRoom();
    const { socket } = phone;
    socket.say(frame);
    assert.ok(socket.closed);
    assert.deepEqual([heard.at(-1)[1].phase, heard.at(-1)[1].reason], ["reconnecting", "gap"]);
    socket.say(apply(8)); // what an old connection still says
    assert.equal(room.state.seq, 7);
    phone.clock.run();
    assert.equal(asked(phone.socket).since, "7");
  }
});

test("the same gap twice asks for the room anew: nobody goes round in circles", () => {
  const { phone, room } = aLiveRoom();
  phone.socket.say(apply(9));
  phone.clock.run();
  phone.socket.say(resumed(8, 1));
  phone.socket.say(apply(9));
  phone.clock.run();
  assert.deepEqual(asked(phone.socket), { live_id: "1" });
  phone.socket.say(snapshot(9));
  assert.equal(room.state.seq, 9);
});

test("a resume that does not fit asks for the room anew", () => {
  const { phone } = aLiveRoom();
  phone.socket.end();
  phone.clock.run();
  phone.socket.say(resumed(12, 3));
  phone.clock.run();
  assert.deepEqual(asked(phone.socket), { live_id: "1" });
});

test("a goodbye is believed before the close, and its wait is kept", () => {
  const { phone, heard } = aLiveRoom();
  phone.socket.say(bye(4000, 7000));
  assert.ok(phone.socket.closed);
  phone.socket.end(1000);
  assert.deepEqual(heard.at(-1)[1], {
    ...{ phase: "reconnecting", attempt: 1, delay: 7000, code: 4000, reason: "why" },
  });
  assert.equal(heard.length, 1);
});

for (const code of [4500, 4503, 4504, 4509, 4510, 4777]) {
  test(`after ${code} it does not come back`, () => {
    const { phone, heard } = aLiveRoom();
    phone.socket.say(bye(code));
    phone.clock.pass(600_000);
    assert.equal(phone.sockets.length, 1);
    assert.deepEqual(heard, [["connection", { phase: "closed", code, reason: "why" }]]);
  });
}

for (const code of [1000, 1001, 1006, 1012, 4001, 4003, 4029, 4499, 5000]) {
  test(`after ${code} it comes back`, () => {
    const { phone } = aLiveRoom();
    phone.socket.end(code);
    phone.clock.pass(500);
    assert.equal(phone.sockets.length, 2);
  });
}

test("a token that is gone signs out; after the login it goes on where it was", async () => {
  const { phone, client, room, heard } = aLiveRoom();
  phone.socket.say(bye(4401));
  assert.deepEqual(heard.map(([name]) => name), ["connection", "signedOut"]);
  assert.deepEqual([heard[0][1].code, client.token], [4401, ""]);
  phone.clock.pass(600_000);
  assert.equal(phone.sockets.length, 1);
  const json = { status: 0, token: "t2", user_id: BERT.user_id };
  phone.answers.push({ status: 200, json });
  await client.login({ appId: "a", code: "c" });
  room.open();
  assert.equal(phone.socket.headers.Authorization, "QLiveToken t2");
  assert.equal(asked(phone.socket).since, "7");
});

test("the end of an old token is no end for who has logged in anew", async () => {
  const { phone, client, heard } = aLiveRoom();
  const json = { status: 0, token: "t2", user_id: BERT.user_id };
  phone.answers.push({ status: 200, json });
  await client.login({ appId: "a", code: "c" });
  phone.socket.say(bye(4401));
  assert.deepEqual([heard.length, heard[0][1].phase], [1, "reconnecting"]);
  phone.clock.run();
  assert.equal(phone.socket.headers.Authorization, "QLiveToken t2");
  assert.equal(asked(phone.socket).since, "7");
});

test("silence is asked about, then believed", () => {
  const { phone, heard } = aLiveRoom();
  const [socket] = phone.sockets;
  phone.clock.pass(31_999);
  assert.deepEqual(socket.sent, []);
  phone.clock.pass(1);
  assert.deepEqual(socket.sent, [{ type: "ping", n: 1 }]);
  phone.clock.pass(8_000);
  assert.ok(socket.closed);
  assert.deepEqual([heard.at(-1)[1].phase, heard.at(-1)[1].reason], ["reconnecting", "silent"]);
});

test("whatever is heard, a pong too, ends the silence", () => {
  const { phone } = aLiveRoom();
  for (let n = 0; n < 20; n++) {
    phone.clock.pass(33_000);
    phone.socket.say({ type: "pong", n: 1 });
  }
  assert.equal(phone.sockets.length, 1);
  assert.equal(phone.socket.sent.length, 20);
});

test("a connection that never begins is given up after ten seconds", () => {
  const { phone, room } = aRoom();
  room.open();
  phone.socket.open();
  phone.clock.pass(5_000);
  phone.socket.say({ type: "heartbeat", seq: 0, ts: 1 });
  phone.clock.pass(5_500);
  assert.equal(phone.sockets.length, 2);
});

test("half a minute of peace forgets the failures, and nothing less", () => {
  const { phone, heard } = aLiveRoom();
  const attempts = () => heard.map(([, said]) => said.attempt).filter((n) => n !== undefined).at(-1);
  for (const [peace, attempt] of [[1_000, 1], [29_000, 2], [29_999, 3], [30_000, 1]]) {
    phone.clock.pass(peace);
    phone.socket.end();
    assert.equal(attempts(), attempt);
    phone.clock.run();
    phone.socket.say(resumed(7, 0));
  }
});

test("a phone that wakes comes back at once, but not before the server wants it", () => {
  const { phone } = aLiveRoom({ random: () => 0.9 });
  phone.socket.end();
  phone.wake();
  phone.clock.pass(100);
  assert.equal(phone.sockets.length, 2);
  phone.socket.say(bye(4000, 9_000));
  phone.wake();
  phone.clock.pass(8_999);
  assert.equal(phone.sockets.length, 2);
  phone.clock.pass(1);
  assert.equal(phone.sockets.length, 3);
});

test("a phone that has slept does not trust its connection", () => {
  const { phone } = aLiveRoom();
  phone.clock.now += 300_000; // the timers stood still
  phone.wake();
  assert.ok(phone.sockets[0].closed);
});

test("a phone that wakes asks at once whether a connection that seems to live does", () => {
  const { phone, heard } = aLiveRoom();
  const [socket] = phone.sockets;
  phone.clock.pass(1_000);
  phone.wake();
  assert.deepEqual(socket.sent, [{ type: "ping", n: 1 }]);
  phone.clock.pass(4_000);
  phone.wake(); // shown, and online: asked once
  phone.clock.pass(999);
  assert.ok(!socket.closed);
  phone.clock.pass(1);
  assert.ok(socket.closed);
  assert.equal(socket.sent.length, 1);
  assert.deepEqual([heard.at(-1)[1].phase, heard.at(-1)[1].reason], ["reconnecting", "silent"]);
});

test("who answers after waking is left in peace, and watched as before", () => {
  const { phone } = aLiveRoom();
  const [socket] = phone.sockets;
  phone.wake();
  phone.clock.pass(4_999);
  socket.say({ type: "pong", n: 1 });
  phone.clock.pass(31_999);
  assert.equal(socket.sent.length, 1);
  phone.clock.pass(1);
  assert.equal(socket.sent.length, 2);
  phone.clock.pass(8_000);
  assert.ok(socket.closed);
});

test("a connection that has not begun is not asked, only watched", () => {
  const { phone, room } = aRoom();
  room.open();
  phone.clock.pass(9_000);
  phone.wake();
  assert.deepEqual(phone.socket.sent, []);
  phone.clock.pass(1_500);
  assert.equal(phone.sockets.length, 2);
});

test("where no socket is to be had it tries again, within the guard", () => {
  const { phone, room, heard } = aRoom();
  const { connectSocket } = phone.platform;
  let tries = 0;
  phone.platform.connectSocket = () => {
    tries += 1;
    throw new Error("too many sockets");
  };
  room.open();
  assert.deepEqual(phases(heard), ["connecting"], "whoever asks hears of it a moment later");
  phone.clock.pass(59_000);
  assert.ok(tries > 3 && tries <= 10, `${tries} attempts`);
  const { phase, code, reason } = heard.at(-1)[1];
  assert.deepEqual([phase, code, reason], ["reconnecting", 0, "too many sockets"]);
  phone.platform.connectSocket = connectSocket;
  phone.clock.run();
  phone.socket.say(snapshot(7));
  assert.deepEqual(heard.at(-1)[1], { phase: "live", reset: null });
});

test("who closes before a missing socket is heard of hears no more of it", () => {
  const { phone, room, heard } = aRoom();
  phone.platform.connectSocket = () => {
    throw new Error("too many sockets");
  };
  room.open();
  room.close();
  phone.clock.pass(60_000);
  assert.deepEqual(phases(heard), ["connecting", "closed"]);
});

test("an event is told once, in its place: not beyond a gap, and not again", () => {
  const { phone, room } = aLiveRoom();
  const told = [];
  room.on("frame", ({ type, seq }) => told.push([type, seq, room.state.seq]));
  const gift = event(9, "gift", {});
  phone.socket.say(gift);
  phone.clock.run();
  phone.socket.say(resumed(9, 2));
  phone.socket.say(apply(8));
  phone.socket.say(gift);
  phone.socket.say(gift);
  assert.deepEqual(told, [["resumed", 9, 7], ["micro_apply", 8, 8], ["gift", 9, 9]]);
});

test("who closes hears nothing more, also from a listener", () => {
  const { phone, room, heard } = aLiveRoom();
  room.on("state", () => room.close());
  phone.socket.say(apply(8));
  assert.ok(phone.socket.closed);
  assert.deepEqual(heard, [["connection", { phase: "closed", code: 1000, reason: "left" }]]);
  phone.socket.say(apply(9));
  phone.clock.pass(600_000);
  assert.deepEqual([phone.sockets.length, room.state.seq, phone.wake], [1, 8, null]);
});

test("an invitation is told to the one it is for, once, also by a snapshot", () => {
  const { phone, room, heard } = aRoom();
  const row = { ...BERT, applied_at: null, invited: true, expires_at: 50 };
  room.open();
  phone.socket.say(snapshot(7, { applicants: [row] }));
  phone.socket.say(event(8, "micro_invite", { ...ANNA, expires_at: 60 }));
  phone.socket.say(event(9, "micro_invite", { ...BERT, expires_at: 70 }));
  const invited = heard.filter(([name]) => name === "invited").map(([, { expires_at }]) => expires_at);
  assert.deepEqual(invited, [50, 70]);
});

test("what becomes of oneself has a name of its own", () => {
  const { phone, heard } = aLiveRoom();
  const seat = { play_url: "u", area: "", age: 20 };
  phone.socket.say(event(8, "micro_refuse", { ...BERT, reason: "expired" }));
  phone.socket.say(event(9, "micro_accept", { ...BERT, ...seat }));
  phone.socket.say(event(10, "micro_accept", { ...ANNA, ...seat }));
  phone.socket.say(event(11, "micro_leave", { ...BERT, reason: "host" }));
  assert.deepEqual(heard.map(([name]) => name), ["refused", "seated", "offMic"]);
});

test("what is not known, or is no frame at all, is ignored", () => {
  const { phone, room } = aLiveRoom();
  const frames = [];
  room.on("frame", ({ type }) => frames.push(type));
  for (const said of ["}{", "7", "null", { type: "fireworks" }, event(8, "wedding", {})]) {
    phone.socket.say(said);
  }
  assert.deepEqual([frames, room.state.seq], [["fireworks", "wedding"], 8]);
});

test("a listener that breaks stops nothing, and is heard of", () => {
  const { phone, room } = aLiveRoom();
  room.on("frame", () => {
    throw new Error("mine");
  });
  phone.socket.say(apply(8));
  assert.equal(room.state.seq, 8);
  assert.throws(() => phone.clock.run(), /mine/);
});

const storms = {
  "closes at once": (socket) => socket.end(1006),
  "shows the room first": (socket) => {
    socket.say(snapshot(7));
    socket.end(1006);
  },
  "says goodbye with a short wait": (socket) => socket.say(bye(4000, 100)),
};
for (const [what, answer] of Object.entries(storms)) {
  for (const [luck, random] of [["no luck", () => 0], ["dice", dice(3)], ["other dice", dice(8)]]) {
    test(`a server that accepts and ${what} gets ten attempts a minute at most (${luck})`, () => {
      const { phone, room } = aRoom({ random });
      const at = [];
      phone.onSocket = (socket) => {
        at.push(phone.clock.now);
        phone.clock.setTimeout(() => answer(socket), 0);
      };
      room.open();
      phone.clock.pass(600_000);
      for (const from of at) {
        assert.ok(at.filter((time) => time >= from && time < from + 60_000).length <= 10);
      }
      assert.ok(at.length > 20, "it does not give up either");
    });
  }
}

test("waking again and again, or a new network every second, is no way around the guard", () => {
  const { phone, room } = aRoom();
  phone.onSocket = (socket) => phone.clock.setTimeout(() => socket.end(1006), 0);
  room.open();
  for (let second = 0; second < 59; second++) {
    phone.clock.pass(1000);
    phone.wake();
  }
  assert.ok(phone.sockets.length <= 10);
});
