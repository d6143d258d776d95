// Audit log page: who requested which change on what, when, why, and whether it was executed.

import { get } from "/ops/api.js";
import { card, el, fill, statusDot } from "/ops/dom.js";
import { formatDateTime } from "/ops/format.js";
import { codeText, t } from "/ops/i18n.js";
import { choiceFilter, list, searchFilter } from "/ops/list.js";
import { words } from "/ops/translations.js";

const ACTIONS = Object.keys(words).filter((key) => key.startsWith("deed.")).map((key) => key.slice("deed.".length));

export function auditPage(container, _sources, _id, query) {
  const columns = [
    { head: t("at"), cell: (entry) => formatDateTime(entry.at) },
    { head: t("who"), cell: (entry) => entry.who },
    { head: t("deed"), cell: (entry) => [actionText(entry.what), el("small", {}, entry.what)] },
    { head: t("on"), cell: (entry) => targetLink(entry) },
    { head: t("reason"), kind: "wide", cell: (entry) => entry.reason || "–" },
    { head: t("asked"), kind: "wide", cell: requestContent },
    { head: t("outcome"), cell: (entry) => (entry.done ? statusDot("good", t("done")) : statusDot("warn", t("not_done"))) },
  ];
  const rows = list({
    label: t("audit"), columns, empty: t("no_audit"),
    load: loadAudit, query,
    filters: [
      searchFilter("q", t("search_audit")),
      choiceFilter("deed", t("deed"), [["", t("all_deeds")], ...ACTIONS.map((action) => [action, actionText(action)])]),
    ],
  });
  fill(container, card("", el("p", { class: "note" }, t("audit_note")), rows.node));
}

/**
 * Loads a page of the audit log.
 *
 * An action, chosen or typed in the words of this page, is searched for by its server name. The
 * server searches for the starts of words, so the page is filtered by the action as well.
 */
async function loadAudit({ q, deed: chosenAction }, after) {
  const typedAction = chosenAction ? "" : findAction(q);
  const action = chosenAction || typedAction;
  const search = [typedAction ? "" : q, action].filter(Boolean).join(" ");
  const page = await get("audit", { q: search, after, changes: true });
  return action ? { ...page, items: page.items.filter((entry) => entry.what === action) } : page;
}

const findAction = (text) => ACTIONS.find((action) => words[`deed.${action}`].includes(text.toLowerCase())) ?? "";

const actionText = (action) => codeText("deed", action);

function targetLink({ on: target, what }) {
  const id = target.split("/")[0];
  if (!id) return "–";
  if (/User|Grant|Settle/.test(what)) return el("a", { href: `#/people/${id}` }, id);
  if (/Room|Live|PutOut|LetIn|Inside/.test(what)) return el("a", { href: `#/rooms/${id}` }, id);
  return target;
}

function requestContent(entry) {
  const fields = Object.entries(entry.asked ?? {}).filter(([name]) => name !== "reason");
  if (!fields.length) return "–";
  return el("code", {}, fields.map(([name, value]) => `${name}: ${JSON.stringify(value)}`).join(", "));
}
