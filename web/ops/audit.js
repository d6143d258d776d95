// Audit log page: who requested which change on what, when, why, and what it has changed.

import { download, get } from "/ops/api.js";
import { card, statusDot } from "/ops/dom.js";
import { button, el, fill } from "/ops/shared/dom.js";
import { formatDateTime } from "/ops/format.js";
import { codeText, t } from "/ops/i18n.js";
import { choiceFilter, list, searchFilter } from "/ops/list.js";
import { texts } from "/ops/translations.js";

const ACTIONS = Object.keys(texts).filter((key) => key.startsWith("action.")).map((key) => key.slice("action.".length));

export function auditPage(container, _poller, _id, query) {
  const columns = [
    { head: t("at"), cell: (entry) => formatDateTime(entry.at) },
    { head: t("who"), cell: whoAndWhere },
    { head: t("action"), cell: (entry) => [actionText(entry.what), el("small", {}, entry.what)] },
    { head: t("on"), cell: (entry) => targetLink(entry) },
    { head: t("reason"), kind: "wide", cell: (entry) => entry.reason || "–" },
    { head: t("parameters"), kind: "wide", cell: (entry) => jsonFields(entry.parameters) },
    { head: t("change"), kind: "wide", cell: changedFields },
    { head: t("outcome"), cell: (entry) => (entry.done ? statusDot("good", t("done")) : statusDot("warn", t("not_done"))) },
  ];
  let shown = {};
  const load = (filters, after) => {
    shown = searchParameters(filters);
    return get("audit", { ...shown, after });
  };
  const save = () => download("audit.csv", shown, "audit.csv");
  const rows = list({
    label: t("audit"), columns, empty: t("no_audit"),
    load, query,
    filters: [
      searchFilter("q", t("search_audit")),
      choiceFilter("action", t("action"), [["", t("all_actions")], ...ACTIONS.map((action) => [action, actionText(action)])]),
    ],
  });
  const head = el("div", { class: "card-head" }, el("p", { class: "note" }, t("audit_note")), button(t("save_csv"), save));
  fill(container, card("", head, rows.node));
}

/** Parameters of a search; an action, chosen, or typed as this page shows it, has its server name. */
function searchParameters({ q, action: chosenAction }) {
  const typedAction = chosenAction ? "" : findAction(q);
  return { q: typedAction ? "" : q, what: chosenAction || typedAction };
}

const findAction = (text) => ACTIONS.find((action) => texts[`action.${action}`].includes(text.toLowerCase())) ?? "";

const actionText = (action) => codeText("action", action);

function targetLink({ on: target, what }) {
  const id = target.split("/")[0];
  if (!id) return "–";
  if (/Refund$/.test(what)) return el("a", { href: `#/refunds/${id}` }, el("code", {}, id));
  if (/User|Grant|Settle/.test(what)) return el("a", { href: `#/people/${id}` }, id);
  if (/Room|Live|RemoveUser|LiftBan|Members|Streams/.test(what)) return el("a", { href: `#/rooms/${id}` }, id);
  return target;
}

const whoAndWhere = ({ who, role, address }) => [who, el("small", {}, [role, address].filter(Boolean).join(" · "))];

/** The fields that the change has altered, with their values before and after it. */
function changedFields({ before, after }) {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  const text = (state, name) => (name in state ? JSON.stringify(state[name]) : "–");
  return codeList(names.map((name) => `${name}: ${text(before, name)} → ${text(after, name)}`));
}

function jsonFields(values) {
  return codeList(Object.entries(values).map(([name, value]) => `${name}: ${JSON.stringify(value)}`));
}

const codeList = (texts) => (texts.length ? el("code", {}, texts.join(", ")) : "–");
