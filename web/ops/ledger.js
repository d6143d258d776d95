// Ledger page: journal entries with their lines; gifts and grants can be reversed.

import { api, get, permitted } from "/ops/api.js";
import { showOutcome } from "/ops/approvals.js";
import { openFormDialog } from "/ops/form_dialog.js";
import { card } from "/ops/dom.js";
import { button, el, fill } from "/ops/shared/dom.js";
import { showToast } from "/ops/shared/toast.js";
import { formatDateTime, formatInteger, formatYuan } from "/ops/format.js";
import { reasonField } from "/ops/form.js";
import { codeText, t } from "/ops/i18n.js";
import { choiceFilter, list, searchFilter } from "/ops/list.js";

const KINDS = ["recharge", "gift", "grant", "reversal", "withdrawal", "payout", "return"];
const USER = "user:";

export function ledgerPage(container, _poller, _id, query) {
  const rows = entryList({ query });
  fill(container, card("", rows.node));
}

/** List of journal entries, of one `user` or searchable; `onReversed` is called after a reversal. */
export function entryList({ user = "", query, onReversed = () => {} }) {
  const columns = [
    { head: t("at"), cell: (entry) => formatDateTime(entry.at) },
    { head: t("kind"), cell: (entry) => codeText("kind", entry.kind) },
    { head: t("moves"), cell: (entry) => postings(entry, user) },
    { head: t("what"), cell: contentText },
    { head: t("note"), kind: "wide", cell: (entry) => entry.note || "–" },
    { head: t("by"), cell: (entry) => actorLink(entry.by) },
    { head: t("entry"), kind: "wide", cell: (entry) => el("code", {}, entry.id) },
    { head: t("actions"), kind: "actions", cell: (entry) =>
      ["gift", "grant"].includes(entry.kind)
        ? permitted("POST Reverse", button(t("reverse"), async () => { if (await reverse(entry)) { rows.reload(); onReversed(); } }, { kind: "danger" }))
        : "" },
  ];
  const kinds = [["", t("all_kinds")], ...KINDS.map((kind) => [kind, codeText("kind", kind)])];
  const rows = list({
    label: t("ledger"), columns, empty: t("no_entries"),
    load: (filterValues, after) => get("ledger", { user_id: user, ...filterValues, after }),
    filters: [...(user ? [] : [searchFilter("q", t("search_ledger"))]), choiceFilter("kind", t("kind"), kinds)],
    query,
  });
  return rows;
}

/** Lines of user accounts; the lines of the house are their counterpart and are left out. */
function postings(entry, user) {
  const userLines = entry.lines.filter((line) => line.account !== "house");
  return userLines.map((line) => el("div", { class: "posting" },
    line.account === USER + user ? null : accountLink(line.account),
    el("span", { class: line.amount < 0 ? "negative" : "positive" }, `${line.amount > 0 ? "+" : "−"}${formatInteger(Math.abs(line.amount))}`),
    ` ${t(line.unit)}`));
}

function accountLink(account) {
  const [kind, id] = account.split(":");
  if (kind === "held") return el("span", {}, t("held_for"), " ", el("code", {}, id));
  return el("a", { href: `#/people/${id}` }, kind === "owed" ? `${t("owed")} ${id}` : id);
}

function actorLink(actor) {
  if (/^R[0-9a-f]{28}$/.test(actor)) return el("a", { href: `#/refunds/${actor}` }, t("one_refunds"));
  return /^[0-9]{8}$/.test(actor) ? el("a", { href: `#/people/${actor}` }, actor) : codeText("source", actor);
}

function contentText({ content, kind }) {
  const paid = kind === "payout" ? ` ${formatYuan(content.fen)}` : null;
  if (kind === "gift") return t("gift_given", { id: content.gift_id, n: content.num });
  if (content.reverses) return el("code", {}, `↩ ${content.reverses}`);
  if (content.owed_by) return t("debt_paid_off");
  if (content.withdrawal) return [el("code", {}, content.withdrawal), paid];
  return content.transaction ? el("code", {}, content.transaction) : "–";
}

function reverse(entry) {
  return openFormDialog({
    title: t("reverse_title"),
    messages: [
      t("reverse_text", { entry: entry.id }),
      entry.lines.filter((line) => line.account !== "house")
        .map((line) => `${line.account}: ${formatInteger(-line.amount)} ${t(line.unit)}`).join("; "),
    ],
    fields: [reasonField()],
    confirmLabel: t("reverse_yes"),
    danger: true,
    async onConfirm(values) {
      const result = await api("POST", "ledger/reverse", { entry: entry.id, ...values });
      showOutcome(result, t("reverse_done"));
      return result;
    },
  });
}
