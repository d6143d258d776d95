// Users page: search by id or name, ban and unban.

import { get, permitted } from "/ops/api.js";
import { ban, unban } from "/ops/ban.js";
import { card, statusDot, userLink } from "/ops/dom.js";
import { button, el, fill } from "/ops/shared/dom.js";
import { formatDateTime, formatInteger, genderText } from "/ops/format.js";
import { t } from "/ops/i18n.js";
import { checkboxFilter, list, searchFilter } from "/ops/list.js";

/** Status dots of a user: banned, matchmaker or member. */
export function userBadges(user) {
  const badges = [];
  if (user.banned) badges.push(statusDot("bad", t("banned")));
  if (user.is_matchmaker) badges.push(statusDot("good", t("matchmaker")));
  return badges.length ? badges : [el("span", { class: "muted" }, t("member"))];
}

const owed = (user) =>
  [formatInteger(user.owed), user.owed_income ? el("small", {}, `+ ${formatInteger(user.owed_income)} ${t("income")}`) : null];

export function peoplePage(container, _poller, _id, query) {
  const columns = [
    { head: t("person"), cell: userLink },
    { head: t("marks"), cell: userBadges },
    { head: t("gender"), cell: (user) => genderText(user.gender) },
    { head: t("age"), kind: "number", cell: (user) => String(user.age || "–") },
    { head: t("gold"), kind: "number", cell: (user) => formatInteger(user.gold) },
    { head: t("income"), kind: "number", cell: (user) => formatInteger(user.income) },
    { head: t("owed"), kind: "number", cell: owed },
    { head: t("last_login"), cell: (user) => formatDateTime(user.last_login_time) },
    { head: t("actions"), kind: "actions", cell: (user) => [
      el("a", { class: "button", href: `#/people/${user.id}` }, t("open")),
      permitted("PATCH OneUser", user.banned
        ? button(t("unban"), async () => (await unban(user)) && rows.reload())
        : button(t("ban"), async () => (await ban(user)) && rows.reload(), { kind: "danger" })),
    ] },
  ];
  const rows = list({
    label: t("people"), columns, empty: t("nobody"),
    load: (filterValues, after) => get("users", { ...filterValues, after }),
    filters: [searchFilter("q", t("search_people")), checkboxFilter("owing", t("only_owing"))], query,
  });
  fill(container, card("", rows.node));
}
