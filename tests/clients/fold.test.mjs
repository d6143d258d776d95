import assert from "node:assert/strict";
import { test } from "node:test";

import { begin, fold } from "../../clients/miniprogram/src/fold.js";
import { ANNA, BERT, HOST, event, face, snapshot } from "./frames.mjs";

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
const invited = { ...ANNA, expires_at: 9 };
const seated = { ...BERT, play_url: "rtmp://b", area: "310100", age: 27 };
const applies = ["micro_apply", applied];
const isInvited = ["micro_invite", invited];
const accepts = ["micro_accept", seated];

test("applicants and invited viewers queue once, in the order in which they came", () => {
  const anna = { ...ANNA, applied_at: null, invited: true, expires_at: 9 };
  const bert = { ...BERT, applied_at: 1, invited: false, expires_at: 2 };
  assert.deepEqual(after({}, applies, isInvited).applicants, [bert, anna]);
  const both = after({}, applies, isInvited, ["micro_invite", { ...BERT, expires_at: 11 }]);
  assert.deepEqual(both.applicants, [{ ...bert, invited: true, expires_at: 11 }, anna]);
  const later = after({}, isInvited, ["micro_apply", { ...ANNA, applied_at: 4, expires_at: 9 }]);
  assert.deepEqual(later.applicants, [{ ...anna, applied_at: 4 }]);
  const refused = after({}, applies, isInvited, ["micro_refuse", { ...BERT, reason: "withdrawn" }]);
  assert.deepEqual(refused.applicants, [anna]);
});

test("accepting moves the applicant from the queue to the seat of their gender until they leave", () => {
  const room = after({}, applies, accepts);
  assert.deepEqual(room.male, { ...seated, away: false });
  assert.deepEqual([room.female, room.applicants], [null, []]);
  assert.equal(after({}, accepts, ["micro_leave", { ...BERT, reason: "left" }]).male, null);
  assert.ok(after({}, accepts, ["micro_leave", { ...face("99999999"), reason: "left" }]).male);
});

test("guests and the host are marked away and back", () => {
  const away = (who, role) => ["member_away", { ...who, role }];
  const both = after({}, accepts, away(BERT, "male"), away(HOST, "host"));
  assert.deepEqual([both.male.away, both.owner.away], [true, true]);
  const back = after({}, accepts, away(BERT, "male"), ["member_back", { ...BERT, role: "male" }]);
  assert.equal(back.male.away, false);
});

test("pausing, resuming and ending the live change its status, and its end clears the seats", () => {
  assert.equal(after({}, ["live_pause", HOST]).status, "paused");
  assert.equal(after({}, ["live_pause", HOST], ["live_resume", HOST]).status, "live");
  const ended = after({}, accepts, isInvited, ["live_end", { ...HOST, reason: "host" }]);
  assert.deepEqual([ended.status, ended.male, ended.female, ended.applicants], ["ended", null, null, []]);
});

test("a profile change updates the user's seat or application", () => {
  const start = { applicants: [{ ...ANNA, applied_at: 1 }] };
  const renamed = ["profile", { ...BERT, nickname: "Bertram" }];
  const room = after(start, accepts, renamed, ["profile", { ...ANNA, face_url: "https://new" }]);
  assert.deepEqual([room.male.nickname, room.male.play_url], ["Bertram", seated.play_url]);
  assert.equal(room.applicants[0].face_url, "https://new");
});

test("the host's profile change updates the room name, and the cover if it was the avatar", () => {
  const other = { ...HOST, nickname: "new", face_url: "https://new" };
  const followed = after({}, ["profile", other]);
  assert.deepEqual([followed.room_name, followed.room_image], ["new", "https://new"]);
  assert.equal(followed.owner.nickname, "new");
  const kept = after({ room_image: "https://cover" }, ["profile", other]);
  assert.equal(kept.room_image, "https://cover");
});

test("other events, also unknown ones, replace the fields of the room that they name", () => {
  const { data } = snapshot();
  const given = { from: BERT, to: ANNA, gift: { id: 1 }, num: 1, gold: 10, request_id: "r" };
  assert.deepEqual(after({}, ["gift", given]), data);
  const unknown = ["constructor", { anything: 1, room_name: "new" }];
  assert.deepEqual(after({}, unknown), { ...data, room_name: "new" });
  assert.deepEqual(after({}, ["group", { group_id: "qlive_new" }]), { ...data, group_id: "qlive_new" });
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
