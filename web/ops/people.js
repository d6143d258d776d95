// People: found by number or name, shut out and let in again.

import { get } from "/ops/api.js";
import { ban, unban } from "/ops/ban.js";
import { button, card, el, fill, person, state } from "/ops/dom.js";
import { gender, when, whole } from "/ops/figures.js";
import { t } from "/ops/i18n.js";
import { list, search, tick } from "/ops/list.js";

/** What somebody is, as dots. */
export function marks(who) {
  const said = [];
  if (who.banned) said.push(state("bad", t("banned")));
  if (who.is_matchmaker) said.push(state("good", t("matchmaker")));
  return said.length ? said : [el("span", { class: "still" }, t("member"))];
}

export function people(place, _heard, _id, query) {
  const columns = [
    { head: t("person"), cell: person },
    { head: t("marks"), cell: marks },
    { head: t("gender"), cell: (who) => gender(who.gender) },
    { head: t("age"), kind: "number", cell: (who) => String(who.age || "–") },
    { head: t("gold"), kind: "number", cell: (who) => whole(who.gold) },
    { head: t("income"), kind: "number", cell: (who) => whole(who.income) },
    { head: t("owed"), kind: "number", cell: (who) => whole(who.owed) },
    { head: t("last_login"), cell: (who) => when(who.last_login_time) },
    { head: t("actions"), kind: "acts", cell: (who) => [
      el("a", { class: "button", href: `#/people/${who.id}` }, t("open")),
      who.banned
        ? button(t("unban"), async () => (await unban(who)) && rows.again())
        : button(t("ban"), async () => (await ban(who)) && rows.again(), "danger"),
    ] },
  ];
  const rows = list({
    label: t("people"), columns, empty: t("nobody"),
    load: (wanted, after) => get("users", { ...wanted, after }),
    filters: [search("q", t("search_people")), tick("owing", t("only_owing"))], query,
  });
  fill(place, card("", rows.node));
}
