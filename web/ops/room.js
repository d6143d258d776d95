// One room as it happens: asked for every second, since operators have no socket.

import { get } from "/ops/api.js";
import { button, card, el, facts, fill, person, picture, state } from "/ops/dom.js";
import { changes } from "/ops/changes.js";
import { clock, gender, span, when, whole } from "/ops/figures.js";
import { t, word } from "/ops/i18n.js";
import { ban } from "/ops/ban.js";
import { list } from "/ops/list.js";
import { letIn, putOut } from "/ops/out.js";
import { ROOM, endLive } from "/ops/rooms.js";

const EVERY = 1000;
const PEOPLE_EVERY = 5000;
const KEPT = 60;

export function room(place, _samples, id) {
  const parts = Object.fromEntries(["head", "seats", "queue", "counts", "out", "trouble"].map((name) => [name, el("div", { class: name })]));
  const log = el("ol", { class: "log", tabindex: "0", "aria-label": t("changes") });
  const still = el("li", { class: "empty" }, t("no_changes"));
  log.append(still);
  const people = inside(id, () => look());
  fill(place, parts.head, parts.trouble, parts.seats, el("div", { class: "halves" },
    el("div", {}, card(t("queue"), parts.queue), card(t("counts"), parts.counts)),
    card(t("changes"), el("p", { class: "note" }, t("changes_note")), log)),
    card(t("inside"), people.node), card(t("out_now"), parts.out));
  let last = null;
  let drawn = "";
  let asking = false;

  async function look() {
    if (asking || document.hidden) return;
    asking = true;
    try {
      const seen = await get(`rooms/${id}`);
      note(changes(last, seen));
      last = seen;
      fill(parts.trouble);
      draw(seen);
    } catch (no) {
      fill(parts.trouble, el("p", { class: "trouble", role: "alert" }, no.message));
    } finally {
      asking = false;
    }
  }

  const recall = () => document.hidden || people.node.contains(document.activeElement) || people.again();

  function note(said) {
    if (said.length) recall();
    for (const words of said) {
      still.remove();
      log.prepend(el("li", {}, el("time", {}, clock(Date.now())), words));
    }
    while (log.children.length > KEPT) log.lastChild.remove();
  }

  function draw(seen) {
    const passing = seen.room.applicants.map((one) => left(one));
    parts.head.querySelector(".live-for")?.replaceChildren(lasted(seen));
    for (const [i, cell] of parts.queue.querySelectorAll(".left").entries()) fill(cell, passing[i] ?? "");
    const same = JSON.stringify(seen);
    if (same === drawn) return; // whoever is at a button keeps it
    drawn = same;
    fill(parts.head, head(seen, look));
    fill(parts.seats, seats(seen, look));
    fill(parts.queue, queue(seen.room));
    fill(parts.out, out(seen, look));
    fill(parts.counts, counts(seen.room));
  }

  const timers = [
    setInterval(look, EVERY),
    setInterval(recall, PEOPLE_EVERY),
  ];
  look();
  return () => timers.forEach(clearInterval);
}

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
  const load = (_wanted, after) => get(`rooms/${id}/people`, { after });
  const people = list({ label: t("inside"), columns, load, empty: t("nobody_inside") });
  return people;
}

/** Who has been put out, with the way back. */
function out(seen, again) {
  if (!seen.put_out.length) return el("p", { class: "empty" }, t("nobody_out"));
  const heads = ["who", "out_until", "actions"].map((key) => el("th", { scope: "col" }, t(key)));
  const lines = seen.put_out.map((who) => el("tr", {},
    el("td", {}, person(who)),
    el("td", {}, when(who.until)),
    el("td", {}, button(t("let_in"), async () => (await letIn(seen.id, who)) && again()))));
  return el("table", {}, el("caption", { class: "unseen" }, t("out_now")), el("thead", {}, el("tr", {}, heads)), el("tbody", {}, lines));
}

const lasted = (seen) => (seen.room.status === "ended" ? "–" : span((Date.now() - seen.started_at) / 1000));
const left = (one) => span((one.expires_at - Date.now()) / 1000);

function head(seen, again) {
  const { room: shown } = seen;
  const end = button(t("end_live"), async () => (await endLive(seen)) && again(), "danger");
  return el("section", { class: "card room-head" },
    picture(shown.room_image, shown.room_name, "face large"),
    el("div", { class: "grows" },
      el("h2", {}, shown.room_name || String(seen.id), state(ROOM[shown.status], word("room", shown.status))),
      facts([
        [t("live_since"), when(seen.started_at)],
        [t("live_for"), el("span", { class: "live-for" }, lasted(seen))],
        [t("group"), shown.group_id || "–"],
        [t("epoch_seq"), el("code", {}, `${seen.epoch} / ${seen.seq}`)],
      ])),
    shown.status === "ended" ? null : end);
}

function seats({ id, room: shown }, again) {
  return [["owner", "host"], ["male", "seat_male"], ["female", "seat_female"]].map(([name, words]) => {
    const who = shown[name];
    if (!who) return el("section", { class: "card seat free" }, el("h2", {}, t(words)), el("p", { class: "still" }, t("seat_free")));
    const acts = [button(t("ban"), async () => (await ban(who)) && again(), "danger")];
    if (name !== "owner") acts.unshift(button(t("put_out"), async () => (await putOut(id, who)) && again(), "danger"));
    return el("section", { class: "card seat" },
      el("h2", {}, t(words)),
      person(who),
      el("p", {}, [gender(who.gender), who.age ? t("age_n", { n: who.age }) : "", who.area].filter(Boolean).join(" · ")),
      el("div", { class: "acts" }, who.away ? state("warn", t("away")) : state("good", t("here")), el("span", { class: "acts" }, acts)));
  });
}

function queue(shown) {
  if (!shown.applicants.length) return el("p", { class: "empty" }, t("queue_empty"));
  const heads = ["who", "how", "applied_at", "runs_out"].map((key) => el("th", { scope: "col" }, t(key)));
  const lines = shown.applicants.map((one) => el("tr", {},
    el("td", {}, person(one)),
    el("td", {}, one.invited ? state("warn", t("invited")) : state("good", t("applied"))),
    el("td", {}, one.applied_at ? clock(one.applied_at) : "–"),
    el("td", { class: "left" }, left(one))));
  return el("table", {}, el("caption", { class: "unseen" }, t("queue")), el("thead", {}, el("tr", {}, heads)), el("tbody", {}, lines));
}

function counts(shown) {
  const [menApplying, men, womenApplying, women] = shown.num_list;
  return facts([
    [t("audience"), whole(shown.audience_count)],
    [t("men_here"), t("of_them_apply", { n: whole(men), m: whole(menApplying) })],
    [t("women_here"), t("of_them_apply", { n: whole(women), m: whole(womenApplying) })],
  ]);
}
