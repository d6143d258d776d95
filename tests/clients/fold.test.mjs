import assert from "node:assert/strict";
import { test } from "node:test";

import { begin, fold } from "../../clients/miniprogram/src/fold.js";
import { ANNA, BERT, HOST, event, face, snapshot } from "./rooms.mjs";

/** The room after these events, each given as [type, data]. */
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
const sits = { ...BERT, play_url: "rtmp://b", area: "310100", age: 27 };

test("who applies stands in the queue, behind those who were there", () => {
  const { applicants } = after({}, ["micro_apply", applied], ["micro_invite", invited]);
  assert.deepEqual(applicants, [
    { ...BERT, applied_at: 1, invited: false, expires_at: 2 },
    { ...ANNA, applied_at: null, invited: true, expires_at: 9 },
  ]);
});

test("an applicant who is invited keeps the place in the queue and the time of applying", () => {
  const { applicants } = after(
    {},
    ["micro_apply", applied],
    ["micro_invite", invited],
    ["micro_invite", { ...BERT, expires_at: 11 }],
  );
  assert.deepEqual(applicants[0], { ...BERT, applied_at: 1, invited: true, expires_at: 11 });
});

test("an invited viewer who applies is both", () => {
  const { applicants } = after(
    {},
    ["micro_invite", invited],
    ["micro_apply", { ...ANNA, applied_at: 4, expires_at: 9 }],
  );
  assert.deepEqual(applicants, [{ ...ANNA, applied_at: 4, invited: true, expires_at: 9 }]);
});

test("who accepts sits on the seat of their gender, and waits no more", () => {
  const shown = after({}, ["micro_apply", applied], ["micro_accept", sits]);
  assert.deepEqual(shown.male, { ...sits, away: false });
  assert.deepEqual([shown.female, shown.applicants], [null, []]);
});

test("who refuses waits no more, and the others do", () => {
  const { applicants } = after(
    {},
    ["micro_apply", applied],
    ["micro_invite", invited],
    ["micro_refuse", { ...BERT, reason: "withdrawn" }],
  );
  assert.deepEqual(applicants.map(({ user_id }) => user_id), [ANNA.user_id]);
});

test("who leaves the mic leaves a free seat", () => {
  const left = { ...BERT, reason: "left" };
  assert.equal(after({}, ["micro_accept", sits], ["micro_leave", left]).male, null);
});

test("guests and the host are shown away, and back", () => {
  const away = (who, role) => ["member_away", { ...who, role }];
  const start = { male: { ...sits, away: false } };
  const gone = after(start, away(BERT, "male"), away(HOST, "host"));
  assert.deepEqual([gone.male.away, gone.owner.away], [true, true]);
  const back = after(start, away(BERT, "male"), ["member_back", { ...BERT, role: "male" }]);
  assert.equal(back.male.away, false);
});

test("a pause of the live is shown, and its end", () => {
  assert.equal(after({}, ["live_pause", HOST]).status, "paused");
  assert.equal(after({}, ["live_pause", HOST], ["live_resume", HOST]).status, "live");
});

test("a new name and face are shown where the person is", () => {
  const start = { male: { ...sits, away: false }, applicants: [{ ...ANNA, applied_at: 1 }] };
  const shown = after(
    start,
    ["profile", { ...BERT, nickname: "Bertram" }],
    ["profile", { ...ANNA, face_url: "https://new" }],
  );
  assert.equal(shown.male.nickname, "Bertram");
  assert.equal(shown.male.play_url, sits.play_url);
  assert.equal(shown.applicants[0].face_url, "https://new");
});

test("the host's new name renames the room, and the face follows where it was the cover", () => {
  const other = { ...HOST, nickname: "new", face_url: "https://new" };
  const followed = after({}, ["profile", other]);
  assert.deepEqual([followed.room_name, followed.room_image], ["new", "https://new"]);
  assert.equal(followed.owner.nickname, "new");
  const kept = after({ room_image: "https://cover" }, ["profile", other]);
  assert.equal(kept.room_image, "https://cover");
});

test("a gift changes nothing that is shown", () => {
  const given = { from: BERT, to: ANNA, gift: { id: 1 }, num: 1, gold: 10, request_id: "r" };
  assert.deepEqual(after({}, ["gift", given]), snapshot().data);
});

test("the end of a live ends seats and applications", () => {
  const start = { male: { ...sits, away: false }, applicants: [{ ...ANNA, applied_at: 1 }] };
  const ended = after(start, ["live_end", { ...HOST, reason: "host" }]);
  assert.equal(ended.status, "ended");
  assert.deepEqual([ended.male, ended.female, ended.applicants], [null, null, []]);
});

test("counts come beside the numbers", () => {
  const state = begin(snapshot(7));
  const data = { audience_count: 9, num_list: [0, 5, 1, 3] };
  const next = fold(state, { type: "audience", live_id: 1, data });
  assert.deepEqual([next.seq, next.room.audience_count], [7, 9]);
  assert.deepEqual(next.room.num_list, [0, 5, 1, 3]);
});

test("what is not known counts as heard", () => {
  const next = fold(begin(snapshot(7)), event(8, "constructor", { anything: 1 }));
  assert.equal(next.seq, 8);
  assert.deepEqual(next.room, snapshot().data);
  const state = begin(snapshot(7));
  assert.equal(fold(state, { type: "fireworks", data: {} }), state);
});

test("an event that is known is not heard again", () => {
  const state = begin(snapshot(7));
  assert.equal(fold(state, event(7, "micro_apply", applied)), state);
  assert.equal(fold(state, event(3, "live_pause", HOST)), state);
});

for (const [what, frame] of [
  ["a number that was left out", event(9, "live_pause", HOST)],
  ["an event of another life", event(8, "live_pause", HOST, "e2")],
  ["an old number of another life", event(1, "live_pause", HOST, "e2")],
  ["a heartbeat that is ahead", { type: "heartbeat", seq: 8, ts: 1 }],
]) {
  test(`${what} is a gap`, () => {
    assert.throws(() => fold(begin(snapshot(7)), frame), { name: "Gap" });
  });
}

test("a heartbeat that agrees is no news", () => {
  const state = begin(snapshot(7));
  assert.equal(fold(state, { type: "heartbeat", seq: 7, ts: 1 }), state);
});

test("a stranger's departure empties nobody's seat", () => {
  const left = { ...face("99999999"), reason: "left" };
  assert.ok(after({}, ["micro_accept", sits], ["micro_leave", left]).male);
});
