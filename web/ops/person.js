// One person: who they are, what may be done, and their history in the book.

import { api, get, onceId } from "/ops/api.js";
import { ask } from "/ops/ask.js";
import { ban, promote, unban } from "/ops/ban.js";
import { button, card, el, facts, fill, picture, say } from "/ops/dom.js";
import { gender, span, when, whole } from "/ops/figures.js";
import { between, reason } from "/ops/form.js";
import { t } from "/ops/i18n.js";
import { entries } from "/ops/ledger.js";
import { marks } from "/ops/people.js";

const MOST = 1_000_000_000;

export function onePerson(place, _heard, id, query) {
  const head = el("div", {});
  const history = entries({ user: id, query, moved: () => look() });
  fill(place, head, card(t("history"), history.node));

  async function look() {
    try {
      fill(head, shown(await get(`users/${id}`), again));
    } catch (no) {
      fill(head, card("", el("p", { class: "trouble", role: "alert" }, no.message)));
    }
  }
  const again = () => { look(); history.again(); };
  look();
}

function shown(who, again) {
  const then = (act) => async () => (await act(who)) && again();
  const acts = [
    button(t("grant"), then(grant), "main"),
    who.owed ? button(t("settle"), then(settle)) : null,
    button(t(who.is_matchmaker ? "demote" : "promote"), then(promote)),
    who.banned ? button(t("unban"), then(unban)) : button(t("ban"), then(ban), "danger"),
    el("a", { class: "button", href: `#/orders?q=${who.id}` }, t("their_orders")),
  ];
  return el("section", { class: "card person-head" },
    picture(who.face_url, who.nickname, "face large"),
    el("div", { class: "grows" },
      el("h2", {}, who.nickname || t("nameless"), " ", marks(who)),
      who.banned ? el("p", { class: "trouble" }, t("banned_for", { reason: who.ban_reason || "–" })) : null,
      facts([
        [t("user_id"), who.id],
        [t("gold"), el("b", {}, whole(who.gold))],
        [t("income"), el("b", {}, whole(who.income))],
        [t("owed"), whole(who.owed)],
        [t("gender"), gender(who.gender)],
        [t("age"), String(who.age || "–")],
        [t("area"), who.area || "–"],
        [t("hosted"), span(who.continuous_time)],
        [t("joined"), when(who.create_time)],
        [t("last_login"), when(who.last_login_time)],
      ]),
      el("div", { class: "acts" }, acts)));
}

function grant(who) {
  const once = { request_id: onceId() }; // the same, however often this dialog is sent
  return ask({
    title: t("grant_title", { name: who.nickname || who.id }),
    says: [t("grant_says")],
    fields: [
      { name: "gold", label: t("gold"), kind: "number", required: true, check: between(1, MOST) },
      reason(),
    ],
    yes: t("grant_yes"),
    async act(values) {
      const purse = await api("POST", `users/${who.id}/grant`, { ...values, ...once });
      say(t("grant_done", { gold: whole(values.gold), has: whole(purse.gold) }));
      return purse;
    },
  });
}

function settle(who) {
  const once = { request_id: onceId() };
  const payers = [["user", t("paid_by_user", { gold: whole(who.gold) })], ["house", t("paid_by_house")]];
  return ask({
    title: t("settle_title", { name: who.nickname || who.id }),
    says: [t("settle_says", { owed: whole(who.owed) })],
    fields: [
      { name: "gold", label: t("gold"), kind: "number", required: true, value: who.owed, check: between(1, who.owed) },
      { name: "paid_by", label: t("paid_by"), kind: "choice", choices: payers, value: "user" },
      reason(),
    ],
    yes: t("settle_yes"),
    danger: true,
    async act(values) {
      const purse = await api("POST", `users/${who.id}/settle`, { ...values, ...once });
      say(t("settle_done", { gold: whole(values.gold) }));
      return purse;
    },
  });
}
