// The cards of one room: its head, the three seats, the queue, the counts, and who was put out.

import { ban } from "/ops/ban.js";
import { button, card, el, facts, person, picture, sheet, state } from "/ops/dom.js";
import { clock, gender, span, when, whole } from "/ops/figures.js";
import { t, word } from "/ops/i18n.js";
import { letIn, putOut } from "/ops/out.js";
import { ROOM, endLive } from "/ops/rooms.js";

const lasted = (seen) => (seen.room.status === "ended" ? "–" : span((Date.now() - seen.started_at) / 1000));
const left = (one) => span((one.expires_at - Date.now()) / 1000);
const number = (seen) => `${seen.epoch} / ${seen.seq}`;

/** Who and what the room is; `latest()` is what was seen last, `again` looks once more. */
export function head(seen, { latest, again }) {
  const { room: shown } = seen;
  const end = button(t("end_live"), async () => (await endLive(latest())) && again(), "danger");
  return el("section", { class: "card room-head" },
    picture(shown.room_image, shown.room_name, "face large"),
    el("div", { class: "grows" },
      el("h2", {}, shown.room_name || String(seen.id), state(ROOM[shown.status], word("room", shown.status))),
      facts([
        [t("live_since"), when(seen.started_at)],
        [t("live_for"), el("span", { class: "live-for" }, lasted(seen))],
        [t("group"), shown.group_id || "–"],
        [t("epoch_seq"), el("code", { class: "number" }, number(seen))],
      ])),
    shown.status === "ended" ? null : end);
}

export function seats({ id, room: shown }, { again }) {
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

export function queue({ room: shown }) {
  if (!shown.applicants.length) return el("p", { class: "empty" }, t("queue_empty"));
  return table("queue", ["who", "how", "applied_at", "runs_out"], shown.applicants.map((one) => [
    person(one),
    one.invited ? state("warn", t("invited")) : state("good", t("applied")),
    one.applied_at ? clock(one.applied_at) : "–",
    el("span", { class: "left" }, left(one)),
  ]));
}

/** Who has been put out, with the way back. */
export function out(seen, { again }) {
  if (!seen.put_out.length) return el("p", { class: "empty" }, t("nobody_out"));
  return table("out_now", ["who", "out_until", "actions"], seen.put_out.map((who) => [
    person(who),
    when(who.until),
    button(t("let_in"), async () => (await letIn(seen.id, who)) && again()),
  ]));
}

export function counts({ room: shown }) {
  const [menApplying, men, womenApplying, women] = shown.num_list;
  return facts([
    [t("audience"), whole(shown.audience_count)],
    [t("men_here"), t("of_them_apply", { n: whole(men), m: whole(menApplying) })],
    [t("women_here"), t("of_them_apply", { n: whole(women), m: whole(womenApplying) })],
  ]);
}

/** What passes by itself is written where it stands: nothing is drawn anew for it. */
export function tick(place, seen) {
  place.querySelector(".live-for")?.replaceChildren(lasted(seen));
  place.querySelector(".room-head .number")?.replaceChildren(number(seen));
  for (const [i, cell] of place.querySelectorAll(".queue .left").entries()) {
    const one = seen.room.applicants[i];
    cell.replaceChildren(one ? left(one) : "");
  }
}

const table = (label, heads, lines) =>
  sheet(t(label), heads.map((key) => t(key)), lines.map((cells) => el("tr", {}, cells.map((cell) => el("td", {}, cell)))));
