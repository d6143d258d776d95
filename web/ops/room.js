// One room as it happens: asked for every second, since operators have no socket.

import { get } from "/ops/api.js";
import { button, card, el, fill, person, state } from "/ops/dom.js";
import { gender, when } from "/ops/figures.js";
import { happenings } from "/ops/happenings.js";
import { t, word } from "/ops/i18n.js";
import { list, search } from "/ops/list.js";
import { putOut } from "/ops/out.js";
import { counts, head, out, queue, seats, tick } from "/ops/seats.js";

const EVERY = 1000;
const PEOPLE_EVERY = 5000;

// each part of the page, and what of a look it is made of
const PARTS = {
  head: [head, ({ epoch, started_at: since, room }) => [epoch, since, room.status, room.room_name, room.room_image, room.group_id]],
  seats: [seats, ({ room }) => [room.owner, room.male, room.female]],
  queue: [queue, ({ room }) => room.applicants],
  counts: [counts, ({ room }) => [room.audience_count, room.num_list]],
  out: [out, (seen) => seen.put_out],
};

export function room(place, _heard, id) {
  const parts = Object.fromEntries([...Object.keys(PARTS), "trouble"].map((name) => [name, el("div", { class: name })]));
  const log = happenings();
  const drawn = {};
  let last = null;
  let asking = false;
  const people = inside(id, () => look());
  const hands = { latest: () => last, again: () => { look(); people.again(); } };
  fill(place, parts.head, parts.trouble, parts.seats, el("div", { class: "halves" },
    el("div", {}, card(t("queue"), parts.queue), card(t("counts"), parts.counts)),
    card(t("changes"), el("p", { class: "note" }, t("changes_note")), log.node)),
    card(t("inside"), people.node), card(t("out_now"), parts.out));

  async function look() {
    if (asking || document.hidden) return;
    asking = true;
    try {
      last = await get(`rooms/${id}`, log.asked());
      fill(parts.trouble);
      if (log.hear(last)) people.look();
      draw();
    } catch (no) {
      fill(parts.trouble, el("p", { class: "trouble", role: "alert" }, no.message));
    } finally {
      asking = false;
    }
  }

  function draw() {
    for (const [name, [make, made]] of Object.entries(PARTS)) {
      const same = JSON.stringify(made(last), steady);
      if (same === drawn[name]) continue; // whoever is at a button keeps it
      drawn[name] = same;
      fill(parts[name], make(last, hands));
    }
    tick(place, last);
  }

  const timer = setInterval(look, EVERY);
  look();
  return () => {
    clearInterval(timer);
    people.stop();
  };
}

/** A play URL is signed anew at every look, and nothing here shows one. */
const steady = (name, value) => (name === "play_url" ? undefined : value);

/** Everybody there, a page at a time. */
function inside(id, changed) {
  const gone = async (row) => {
    if (await putOut(id, row)) { people.again(); changed(); }
  };
  const columns = [
    { head: t("who"), cell: person },
    { head: t("gender"), cell: (row) => gender(row.gender) },
    { head: t("role"), cell: (row) => word("role", row.role) },
    { head: t("state"), cell: (row) => (row.away_at ? state("warn", t("away")) : state("good", t("here"))) },
    { head: t("came_in"), cell: (row) => when(row.entered_at) },
    { head: t("actions"), kind: "acts", cell: (row) => (row.role === "host" ? "–" : button(t("put_out"), () => gone(row), "danger")) },
  ];
  const people = list({
    label: t("inside"), columns, empty: t("nobody_inside"),
    load: (wanted, after) => get(`rooms/${id}/people`, { ...wanted, after }),
    filters: [search("q", t("search_inside"))], every: PEOPLE_EVERY,
  });
  return people;
}
