// What has changed in a room between two looks, in sentences.

import { t, word } from "/ops/i18n.js";

const SEATS = ["male", "female"];

export function changes(before, now) {
  if (!before) return [];
  if (before.epoch !== now.epoch) return [t("change.epoch")];
  const [old, room] = [before.room, now.room];
  const said = [];
  if (old.status !== room.status) said.push(t("change.status", { state: word("room", room.status) }));
  if (old.owner.away !== room.owner.away) said.push(absence(room.owner));
  for (const seat of SEATS) said.push(...seated(old[seat], room[seat], t(`seat_${seat}`)));
  said.push(...queued(old.applicants, room.applicants, onMic(room)));
  if (old.audience_count !== room.audience_count) {
    said.push(t("change.audience", { from: old.audience_count, to: room.audience_count }));
  }
  if (!said.length && before.seq !== now.seq) said.push(t("change.other"));
  return said;
}

const nameOf = (who) => who.nickname || who.user_id;
const absence = (who) => t(who.away ? "change.away" : "change.back", { name: nameOf(who) });
const onMic = (room) => new Set(SEATS.map((seat) => room[seat]?.user_id));

function seated(old, now, seat) {
  if (old?.user_id === now?.user_id) return old && old.away !== now.away ? [absence(now)] : [];
  const said = [];
  if (old) said.push(t("change.off_mic", { name: nameOf(old), seat }));
  if (now) said.push(t("change.on_mic", { name: nameOf(now), seat }));
  return said;
}

function queued(old, now, seats) {
  const was = new Map(old.map((one) => [one.user_id, one]));
  const is = new Map(now.map((one) => [one.user_id, one]));
  const said = [];
  for (const [id, one] of is) {
    const name = nameOf(one);
    if (one.applied_at && !was.get(id)?.applied_at) said.push(t("change.applied", { name }));
    if (one.invited && !was.get(id)?.invited) said.push(t("change.invited", { name }));
  }
  for (const [id, one] of was) {
    if (!is.has(id) && !seats.has(id)) said.push(t("change.unqueued", { name: nameOf(one) }));
  }
  return said;
}
