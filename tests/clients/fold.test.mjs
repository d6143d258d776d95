import assert from "node:assert/strict";
import { test } from "node:test";

import { begin, fold, mutedUntil, roleIn, seatOf } from "../../clients/miniprogram/src/fold.js";
import { ANNA, BERT, HOST, event, room, snapshot } from "./frames.mjs";

/** The room after folding events given as [type, data]. */
function after(more, ...events) {
  let state = freeze(begin(snapshot(7, more)));
  events.forEach(([type, data], n) => {
    state = freeze(fold(state, event(8 + n, type, data)));
  });
  assert.equal(state.seq, 7 + events.length);
  return state.room;
}

function freeze(value) {
  if (value && typeof value === "object") Object.values(value).forEach(freeze);
  return Object.freeze(value);
}

const applied = { ...BERT, applied_at: 1, expires_at: 2 };

// compare_folds.mjs folds every event of random rooms; here are one example, and what no such room has.

test("accepting moves the applicant from the queue to the seat of their gender until they leave", () => {
  const seated = { ...BERT, play_url: "rtmp://b", area: "310100", age: 27 };
  const accepted = [["micro_apply", applied], ["micro_accept", seated]];
  const room = after({}, ...accepted);
  assert.deepEqual([room.male, room.female, room.applicants], [{ ...seated, away: false }, null, []]);
  assert.equal(after({}, ...accepted, ["micro_leave", { ...BERT, reason: "left" }]).male, null);
});

test("the host's profile change updates the room name, and the cover if it was the avatar", () => {
  const other = { ...HOST, nickname: "new", face_url: "https://new" };
  const followed = after({}, ["profile", other]);
  assert.deepEqual([followed.room_name, followed.room_image], ["new", "https://new"]);
  assert.equal(followed.owner.nickname, "new");
  const kept = after({ room_image: "https://cover" }, ["profile", other]);
  assert.equal(kept.room_image, "https://cover");
});

const muted = (user, until) => ["mute", { user_id: user.user_id, until }];
const all = (mute_all) => ["mute_all", { mute_all }];

for (const [label, events, expected] of [
  ["no mute", [], [0, 0, 0]],
  ["a mute", [muted(BERT, 9)], [0, 9, 0]],
  ["a later mute", [muted(BERT, 9), muted(ANNA, 8), muted(BERT, 20)], [0, 20, 8]],
  ["a lifted mute", [muted(BERT, 9), muted(BERT, 0)], [0, 0, 0]],
  ["everybody muted", [muted(BERT, 9), all(true)], [0, Infinity, Infinity]],
  ["everybody muted for a while", [muted(BERT, 9), all(true), all(false)], [0, 9, 0]],
  ["the end of the live", [muted(BERT, 9), all(true), ["live_end", { ...HOST, reason: "host" }]], [0, 0, 0]],
]) {
  test(`after ${label} the host, Bert and Anna are muted until ${expected}`, () => {
    const state = { room: after({}, ...events) };
    assert.deepEqual([HOST, BERT, ANNA].map(({ user_id }) => mutedUntil(state, user_id)), expected);
  });
}

test("deputies are named and end, also for a server that has sent none", () => {
  const deputy = (user, on) => ["deputy", { ...user, on }];
  assert.deepEqual(after({}, deputy(BERT, true), deputy(ANNA, true), deputy(BERT, false)).deputies, [ANNA.user_id]);
  assert.deepEqual(after({ deputies: undefined }, deputy(BERT, true)).deputies, [BERT.user_id]);
});

test("other events, also unknown ones, replace the fields of the room that they name", () => {
  const { data } = snapshot();
  const given = { from: BERT, to: ANNA, gift: { id: 1 }, num: 1, gold: 10, request_id: "r" };
  assert.deepEqual(after({}, ["gift", given]), data);
  const unknown = ["constructor", { anything: 1, room_name: "new" }];
  assert.deepEqual(after({}, unknown), { ...data, room_name: "new" });
  assert.deepEqual(after({}, ["group", { group_id: "qlive_new" }]), { ...data, group_id: "qlive_new" });
});

test("a change of visibility replaces it, and the play URLs of the seats that got new streams", () => {
  const owner = { ...room().owner, play_url: "rtmp://h2" };
  const bert = { ...BERT, play_url: "rtmp://b" };
  const change = { visibility: "private", by: HOST, play_urls: { owner: "rtmp://h2", male: "rtmp://b2", female: null } };
  const expected = { ...room(), visibility: "private", owner, male: { ...bert, play_url: "rtmp://b2" } };
  const hidden = after({ male: bert }, ["visibility", change]);
  assert.deepEqual(hidden, expected);
  const shown = after({ ...hidden }, ["visibility", { visibility: "public", by: HOST }]);
  assert.deepEqual(shown, { ...expected, visibility: "public" });
});

test("deputies are sorted by id, and stay after the live", () => {
  const named = [ANNA, BERT, ANNA].map((user) => ["deputy", { ...user, on: true }]);
  assert.deepEqual(after({}, ...named).deputies, [BERT.user_id, ANNA.user_id]);
  const ended = ["live_end", { ...HOST, reason: "host" }];
  assert.deepEqual(after({}, ...named, ["deputy", { ...BERT, on: false }], ended).deputies, [ANNA.user_id]);
});

test("frames without a new sequence number change the audience, or nothing", () => {
  const state = begin(snapshot(7));
  const counts = { audience_count: 9, num_list: [0, 5, 1, 3] };
  const next = fold(state, { type: "audience", live_id: 1, data: counts });
  assert.deepEqual(next, { ...state, room: { ...state.room, ...counts } });
  for (const frame of [
    { type: "fireworks", data: {} },
    { type: "heartbeat", seq: 7, ts: 1 },
    event(7, "micro_apply", applied),
    event(3, "live_pause", HOST),
  ]) {
    assert.equal(fold(state, frame), state);
  }
});

for (const [label, frame] of [
  ["a skipped sequence number", event(9, "live_pause", HOST)],
  ["an event of another epoch", event(8, "live_pause", HOST, "e2")],
  ["an old sequence number of another epoch", event(1, "live_pause", HOST, "e2")],
  ["a heartbeat ahead of the state", { type: "heartbeat", seq: 8, ts: 1 }],
]) {
  test(`${label} is a gap`, () => {
    assert.throws(() => fold(begin(snapshot(7)), frame), { name: "Gap" });
  });
}

test("a user's role and seat follow from the room", () => {
  const room = after({ female: ANNA }, ["micro_apply", applied]);
  const invited = after({}, ["micro_invite", { ...BERT, expires_at: 2 }]);
  const places = [[room, HOST], [room, ANNA], [room, BERT], [invited, BERT], [null, BERT]].map(([known, { user_id }]) => {
    const state = known && { room: known };
    return [roleIn(state, user_id), seatOf(state, user_id)];
  });
  const [host, anna, bert, guest, unknown] = places;
  assert.deepEqual([host, anna, bert], [["host", "owner"], ["female", "female"], ["applied", null]]);
  assert.deepEqual([guest, unknown], [["viewer", null], ["viewer", null]]);
});
