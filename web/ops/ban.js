// Shutting somebody out, and letting them in again.

import { api } from "/ops/api.js";
import { ask } from "/ops/ask.js";
import { say } from "/ops/dom.js";
import { reason } from "/ops/form.js";
import { t } from "/ops/i18n.js";

const idOf = (who) => who.user_id ?? who.id;
const nameOf = (who) => who.nickname || idOf(who);

/** Asks once; the person as they are now, or undefined. */
export function ban(who) {
  return ask({
    title: t("ban_title", { name: nameOf(who) }),
    says: [t("ban_says")],
    fields: [reason(true, "ban_reason")],
    yes: t("ban_yes"),
    danger: true,
    act: (values) => change(who, { banned: true, ...values }, t("ban_done", { name: nameOf(who) })),
  });
}

export function unban(who) {
  return ask({
    title: t("unban_title", { name: nameOf(who) }),
    says: [t("unban_says", { reason: who.ban_reason || "–" })],
    yes: t("unban_yes"),
    act: () => change(who, { banned: false }, t("unban_done", { name: nameOf(who) })),
  });
}

export function promote(who) {
  const on = !who.is_matchmaker;
  return ask({
    title: t(on ? "promote_title" : "demote_title", { name: nameOf(who) }),
    says: [t(on ? "promote_says" : "demote_says")],
    yes: t(on ? "promote_yes" : "demote_yes"),
    danger: !on,
    act: () => change(who, { is_matchmaker: on }, t(on ? "promote_done" : "demote_done", { name: nameOf(who) })),
  });
}

async function change(who, fields, words) {
  const now = await api("PATCH", `users/${idOf(who)}`, fields);
  say(words);
  return now;
}
