// Parts of a room's page: header, seats, queue, audience counts and banned users.

import { permitted } from "/ops/api.js";
import { ban } from "/ops/ban.js";
import { card, definitionList, scrollTable, statusDot, userLink } from "/ops/dom.js";
import { button, el, picture } from "/ops/shared/dom.js";
import { formatDateTime, formatDuration, formatInteger, formatTime, genderText } from "/ops/format.js";
import { codeText, t } from "/ops/i18n.js";
import { liftRoomBan, removeUser } from "/ops/room_bans.js";
import { ROOM_KINDS, endLive } from "/ops/rooms.js";

const liveDuration = (view) => (view.room.status === "ended" ? "–" : formatDuration((Date.now() - view.started_at) / 1000));
const timeLeft = (item) => formatDuration((item.expires_at - Date.now()) / 1000);
const deputyLink = ({ user_id, nickname }, i) => [i ? " · " : "", el("a", { href: `#/people/${user_id}` }, nickname || user_id)];
const position = (view) => `${view.epoch} / ${view.seq}`;

/** Header of the room; `latest()` returns the newest view, `reload` requests a new one. */
export function roomHeader(view, { latest, reload }) {
  const { room } = view;
  const endButton = permitted("POST EndLive", button(t("end_live"), async () => (await endLive(latest())) && reload(), { kind: "danger" }));
  return el("section", { class: "card room-head" },
    picture(room.room_image, room.room_name, "face large"),
    el("div", { class: "grows" },
      el("h2", {}, room.room_name || String(view.id), statusDot(ROOM_KINDS[room.status], codeText("room", room.status))),
      definitionList([
        [t("live_since"), formatDateTime(view.started_at)],
        [t("live_for"), el("span", { class: "live-for" }, liveDuration(view))],
        [t("visibility"), codeText("visibility", room.visibility)],
        [t("group"), room.group_id || "–"],
        [t("epoch_seq"), el("code", { class: "number" }, position(view))],
        [t("deputies"), view.deputies.length ? view.deputies.map(deputyLink) : "–"],
      ])),
    room.status === "ended" ? null : endButton);
}

export function seatCards({ id, room }, { reload }) {
  return [["owner", "host"], ["male", "seat_male"], ["female", "seat_female"]].map(([name, key]) => {
    const user = room[name];
    if (!user) return el("section", { class: "card seat free" }, el("h2", {}, t(key)), el("p", { class: "muted" }, t("seat_free")));
    const actions = [
      name === "owner" ? null : permitted("POST RemoveUser", button(t("put_out"), async () => (await removeUser(id, user)) && reload(), { kind: "danger" })),
      permitted("PATCH OneUser", button(t("ban"), async () => (await ban(user)) && reload(), { kind: "danger" })),
    ];
    return el("section", { class: "card seat" },
      el("h2", {}, t(key)),
      userLink(user),
      el("p", {}, [genderText(user.gender), user.age ? t("age_n", { n: user.age }) : "", user.area].filter(Boolean).join(" · ")),
      el("div", { class: "actions" }, user.away ? statusDot("warn", t("away")) : statusDot("good", t("here")), el("span", { class: "actions" }, actions)));
  });
}

export function queueTable({ room }) {
  if (!room.applicants.length) return el("p", { class: "empty" }, t("queue_empty"));
  return table("queue", ["who", "how", "applied_at", "runs_out"], room.applicants.map((applicant) => [
    userLink(applicant),
    applicant.invited ? statusDot("warn", t("invited")) : statusDot("good", t("applied")),
    applicant.applied_at ? formatTime(applicant.applied_at) : "–",
    el("span", { class: "left" }, timeLeft(applicant)),
  ]));
}

/** Users who are banned from the room, each with a button that lifts the ban. */
export function bansTable(view, { reload }) {
  if (!view.put_out.length) return el("p", { class: "empty" }, t("nobody_out"));
  return table("out_now", ["who", "out_until", "actions"], view.put_out.map((user) => [
    userLink(user),
    formatDateTime(user.until),
    permitted("POST LiftBan", button(t("let_in"), async () => (await liftRoomBan(view.id, user)) && reload())) ?? "–",
  ]));
}

export function audienceCounts({ room }) {
  const [menApplying, men, womenApplying, women] = room.num_list;
  return definitionList([
    [t("audience"), formatInteger(room.audience_count)],
    [t("men_here"), t("of_them_apply", { n: formatInteger(men), m: formatInteger(menApplying) })],
    [t("women_here"), t("of_them_apply", { n: formatInteger(women), m: formatInteger(womenApplying) })],
  ]);
}

/** Updates times and positions in place, so that nothing is rendered again for them. */
export function updateTimes(container, view) {
  container.querySelector(".live-for")?.replaceChildren(liveDuration(view));
  container.querySelector(".room-head .number")?.replaceChildren(position(view));
  for (const [i, cell] of container.querySelectorAll(".queue .left").entries()) {
    const applicant = view.room.applicants[i];
    cell.replaceChildren(applicant ? timeLeft(applicant) : "");
  }
}

const table = (label, headings, rows) =>
  scrollTable(t(label), headings.map((key) => t(key)), rows.map((cells) => el("tr", {}, cells.map((cell) => el("td", {}, cell)))));
