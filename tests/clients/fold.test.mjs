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

test("an applicant joins the end of the queue", () => {
  const { applicants } = after({}, ["micro_apply", applied], ["micro_invite", invited]);
  assert.deepEqual(applicants, [
    { ...BERT, applied_at: 1, invited: false, expires_at: 2 },
    { ...ANNA, applied_at: null, invited: true, expires_at: 9 },
  ]);
});

test("an invited applicant keeps their queue position and application time", () => {
  const { applicants } = after(
    {},
    ["micro_apply", applied],
    ["micro_invite", invited],
    ["micro_invite", { ...BERT, expires_at: 11 }],
  );
  assert.deepEqual(applicants[0], { ...BERT, applied_at: 1, invited: true, expires_at: 11 });
});

test("an invited viewer who applies is both invited and an applicant", () => {
  const { applicants } = after(
    {},
    ["micro_invite", invited],
    ["micro_apply", { ...ANNA, applied_at: 4, expires_at: 9 }],
  );
  assert.deepEqual(applicants, [{ ...ANNA, applied_at: 4, invited: true, expires_at: 9 }]);
});

test("accepting moves the applicant from the queue to the seat of their gender", () => {
  const room = after({}, ["micro_apply", applied], ["micro_accept", seated]);
  assert.deepEqual(room.male, { ...seated, away: false });
  assert.deepEqual([room.female, room.applicants], [null, []]);
});

test("refusing removes only that applicant from the queue", () => {
  const { applicants } = after(
    {},
    ["micro_apply", applied],
    ["micro_invite", invited],
    ["micro_refuse", { ...BERT, reason: "withdrawn" }],
  );
  assert.deepEqual(applicants.map(({ user_id }) => user_id), [ANNA.user_id]);
});

test("leaving the mic frees the seat", () => {
  const left = { ...BERT, reason: "left" };
  assert.equal(after({}, ["micro_accept", seated], ["micro_leave", left]).male, null);
});

test("guests and the host are marked away and back", () => {
  const away = (who, role) => ["member_away", { ...who, role }];
  const start = { male: { ...seated, away: false } };
  const both = after(start, away(BERT, "male"), away(HOST, "host"));
  assert.deepEqual([both.male.away, both.owner.away], [true, true]);
  const back = after(start, away(BERT, "male"), ["member_back", { ...BERT, role: "male" }]);
  assert.equal(back.male.away, false);
});

test("pausing and resuming the live changes its status", () => {
  assert.equal(after({}, ["live_pause", HOST]).status, "paused");
  assert.equal(after({}, ["live_pause", HOST], ["live_resume", HOST]).status, "live");
});

test("a profile change updates the user's seat or application", () => {
  const start = { male: { ...seated, away: false }, applicants: [{ ...ANNA, applied_at: 1 }] };
  const room = after(
    start,
    ["profile", { ...BERT, nickname: "Bertram" }],
    ["profile", { ...ANNA, face_url: "https://new" }],
  );
  assert.equal(room.male.nickname, "Bertram");
  assert.equal(room.male.play_url, seated.play_url);
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

test("the room has a new chat group", () => {
  const room = after({}, ["group", { group_id: "qlive_new" }]);
  assert.deepEqual(room, { ...snapshot().data, group_id: "qlive_new" });
});

test("a gift does not change the room", () => {
  const given = { from: BERT, to: ANNA, gift: { id: 1 }, num: 1, gold: 10, request_id: "r" };
  assert.deepEqual(after({}, ["gift", given]), snapshot().data);
});

test("the end of the live clears seats and applications", () => {
  const start = { male: { ...seated, away: false }, applicants: [{ ...ANNA, applied_at: 1 }] };
  const ended = after(start, ["live_end", { ...HOST, reason: "host" }]);
  assert.equal(ended.status, "ended");
  assert.deepEqual([ended.male, ended.female, ended.applicants], [null, null, []]);
});

test("audience counts are applied without a sequence number", () => {
  const state = begin(snapshot(7));
  const data = { audience_count: 9, num_list: [0, 5, 1, 3] };
  const next = fold(state, { type: "audience", live_id: 1, data });
  assert.deepEqual([next.seq, next.room.audience_count], [7, 9]);
  assert.deepEqual(next.room.num_list, [0, 5, 1, 3]);
});

test("an unknown event replaces the fields of the room that it names", () => {
  const next = fold(begin(snapshot(7)), event(8, "constructor", { anything: 1, room_name: "new" }));
  assert.equal(next.seq, 8);
  assert.deepEqual(next.room, { ...snapshot().data, room_name: "new" });
  const state = begin(snapshot(7));
  assert.equal(fold(state, { type: "fireworks", data: {} }), state);
});

test("an event that was already folded is ignored", () => {
  const state = begin(snapshot(7));
  assert.equal(fold(state, event(7, "micro_apply", applied)), state);
  assert.equal(fold(state, event(3, "live_pause", HOST)), state);
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

test("a heartbeat at the current number changes nothing", () => {
  const state = begin(snapshot(7));
  assert.equal(fold(state, { type: "heartbeat", seq: 7, ts: 1 }), state);
});

test("a leave event of another user does not free the seat", () => {
  const left = { ...face("99999999"), reason: "left" };
  assert.ok(after({}, ["micro_accept", seated], ["micro_leave", left]).male);
});
