// Requests that wait for a second operator: a list with confirmation and refusal.

import { api, get, permitted, session } from "/ops/api.js";
import { openFormDialog } from "/ops/form_dialog.js";
import { card, statusDot } from "/ops/dom.js";
import { button, el, fill } from "/ops/shared/dom.js";
import { showToast } from "/ops/shared/toast.js";
import { formatDateTime, formatInteger } from "/ops/format.js";
import { reasonField } from "/ops/form.js";
import { codeText, t } from "/ops/i18n.js";
import { checkboxFilter, list } from "/ops/list.js";

const REFRESH_MS = 15_000;
const STATE_KINDS = { waiting: "warn", done: "good", declined: "bad", expired: "muted" };

export function approvalsPage(container, _poller, _id, query) {
  const columns = [
    { head: t("at"), cell: (request) => formatDateTime(request.made_at) },
    { head: t("who"), cell: (request) => request.by },
    { head: t("action"), cell: (request) => codeText("approval", request.kind) },
    { head: t("on"), cell: target },
    { head: t("amount"), kind: "wide", cell: amount },
    { head: t("reason"), kind: "wide", cell: (request) => request.reason || "–" },
    { head: t("state"), cell: (request) => statusDot(STATE_KINDS[request.state], codeText("approval_state", request.state)) },
    { head: t("decision"), kind: "wide", cell: decision },
    { head: t("actions"), kind: "actions", cell: (request) => actions(request, () => rows.reload()) },
  ];
  const rows = list({
    label: t("approvals"), columns, empty: t("no_approvals"), refreshMs: REFRESH_MS, query,
    load: (filterValues, after) => get("approvals", { ...filterValues, after }),
    filters: [checkboxFilter("waiting", t("only_waiting"), true)],
  });
  fill(container, card("", el("p", { class: "note" }, t("approvals_note")), rows.node));
  return rows.stop;
}

/** Announces what became of a change: it may be a request that waits. */
export function showOutcome(answer, doneMessage) {
  if (!("state" in answer)) showToast(doneMessage);
  else if (answer.state === "waiting") showToast(t("approval_waits"));
  else showToast(t("approval_declined"), "bad");
}

/** The amount of gold or income, or what changes in a config or block. */
function amount({ before, after, gold, unit }) {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((name) => name !== "id");
  const text = (row, name) => (name in row ? JSON.stringify(row[name]) : "–");
  const changed = names.filter((name) => text(before, name) !== text(after, name));
  if (!changed.length) return `${formatInteger(gold)} ${t(unit)}`;
  return changed.map((name) => `${label(name)} ${text(before, name)} → ${text(after, name)}`).join(", ");
}

const label = (name) => t(name === "fen" ? "price_fen" : name);

function target({ on: id, kind }) {
  if (kind === "config" || kind === "block") return el("a", { href: `#/${kind}s` }, id || t("approval_new"));
  return kind === "reverse" ? el("code", {}, id) : el("a", { href: `#/people/${id}` }, id);
}

function decision(request) {
  if (request.state === "waiting") return t("approval_expires", { at: formatDateTime(request.expires_at) });
  return request.decided_by ? [request.decided_by, el("small", {}, request.decision_reason)] : "–";
}

function actions(request, onDecided) {
  if (request.state !== "waiting") return null;
  const isOwn = request.by === session().name;
  const decideBy = (action) => async () => (await decide(request, action)) && onDecided();
  return [
    isOwn ? null : permitted("POST Confirm", button(t("confirm"), decideBy("confirm"), { kind: "main" })),
    permitted("POST Decline", button(t(isOwn ? "withdraw" : "decline"), decideBy(isOwn ? "withdraw" : "decline"), { kind: "danger" })),
  ];
}

/** `action`: confirm, decline or withdraw; resolves with undefined if cancelled. */
function decide(request, action) {
  const { by, id, kind, on, reason } = request;
  return openFormDialog({
    title: t(`${action}_title`, { by }),
    messages: [
      t("approval_text", { kind: codeText("approval", kind), amount: amount(request), on: on || t("approval_new") }),
      ...(reason ? [t("approval_reason", { reason })] : []),
    ],
    fields: [reasonField()],
    confirmLabel: t(action),
    danger: action !== "confirm",
    async onConfirm(values) {
      const decided = await api("POST", `approvals/${id}/${action === "confirm" ? "confirm" : "decline"}`, values);
      showToast(t(`${action}_done`));
      return decided;
    },
  });
}
