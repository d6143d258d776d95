// Live rooms: who sits, who waits, how many look on; and ending a live.

import { api, get } from "/ops/api.js";
import { ask } from "/ops/ask.js";
import { button, card, el, fill, person, say, state } from "/ops/dom.js";
import { span, whole as figure } from "/ops/figures.js";
import { reason } from "/ops/form.js";
import { t, word } from "/ops/i18n.js";
import { list, search, whole } from "/ops/list.js";

const EVERY = 5000;

export const ROOM = { live: "good", paused: "warn", ended: "still" };

export function rooms(place, _heard, _id, query) {
  const seat = (row, name) => (row.room[name] ? person(row.room[name]) : el("span", { class: "still" }, t("seat_free")));
  const columns = [
    { head: t("room"), cell: (row) => el("a", { class: "strong", href: `#/rooms/${row.id}` }, row.room.room_name || String(row.id), el("small", {}, String(row.id))) },
    { head: t("state"), cell: (row) => state(ROOM[row.room.status], word("room", row.room.status)) },
    { head: t("host"), cell: (row) => seat(row, "owner") },
    { head: t("seat_male"), cell: (row) => seat(row, "male") },
    { head: t("seat_female"), cell: (row) => seat(row, "female") },
    { head: t("queue"), kind: "number", cell: (row) => figure(row.room.applicants.length) },
    { head: t("audience"), kind: "number", cell: (row) => figure(row.room.audience_count) },
    { head: t("live_for"), kind: "number", cell: (row) => span((Date.now() - row.started_at) / 1000) },
    { head: t("actions"), kind: "acts", cell: (row) => [
      el("a", { class: "button", href: `#/rooms/${row.id}` }, t("look_in")),
      button(t("end_live"), async () => (await endLive(row)) && rows.again(), "danger"),
    ] },
  ];
  const has = ({ room, id }, { q }) =>
    !q || [room.room_name, id, ...["owner", "male", "female"].flatMap((name) => [room[name]?.user_id, room[name]?.nickname])]
      .some((text) => String(text ?? "").toLowerCase().includes(q.toLowerCase()));
  const rows = list({
    label: t("rooms"), columns, empty: t("no_rooms"),
    load: whole(() => get("rooms"), has), filters: [search("q", t("search_rooms"))],
    every: EVERY, query,
  });
  fill(place, card("", rows.node));
  return rows.stop;
}

/** Asks once; true when the live has been ended. */
export function endLive({ id, room }) {
  return ask({
    title: t("end_title", { name: room.room_name || id }),
    says: [t("end_says", { n: room.audience_count })],
    fields: [reason()],
    yes: t("end_yes"),
    danger: true,
    async act(values) {
      await api("POST", `rooms/${id}/end`, values);
      say(t("end_done", { name: room.room_name || id }));
      return true;
    },
  });
}
