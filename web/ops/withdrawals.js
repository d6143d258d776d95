// Withdrawals page: the queue and history of withdrawals with decisions, sums per day, the quarter's report.

import { api, get, permitted, session } from "/ops/api.js";
import { openFormDialog } from "/ops/form_dialog.js";
import { card, statusDot } from "/ops/dom.js";
import { button, el, fill } from "/ops/shared/dom.js";
import { showToast } from "/ops/shared/toast.js";
import { formatDateTime, formatInteger, formatYuan } from "/ops/format.js";
import { reasonField } from "/ops/form.js";
import { codeText, t } from "/ops/i18n.js";
import { choiceFilter, list, searchFilter } from "/ops/list.js";
import { dayList, reportForm } from "/ops/withdrawal_sums.js";

const REFRESH_MS = 15_000;
const STATE_KINDS = { requested: "warn", approved: "muted", submitted: "muted", awaiting_user: "muted", paid: "good", returned: "bad" };
const FINAL = ["paid", "returned"];

export function withdrawalsPage(container, _poller, _id, query) {
  const columns = [
    { head: t("person"), cell: personAndTime },
    { head: t("money"), kind: "number", cell: money },
    { head: t("state"), cell: ({ state }) => statusDot(STATE_KINDS[state], codeText("withdrawal", state)) },
    { head: t("approved_by"), cell: approvals },
    { head: t("paid_out"), kind: "number", cell: ({ paid_fen: fen }) => (fen ? formatYuan(fen) : "–") },
    { head: t("decision"), kind: "wide", cell: decision },
    { head: t("transfer"), kind: "wide", cell: transfer },
    { head: t("actions"), kind: "actions", cell: (withdrawal) => actions(withdrawal, () => { rows.reload(); days.reload(); }) },
  ];
  const states = [["", t("all_states")], ...Object.keys(STATE_KINDS).map((state) => [state, codeText("withdrawal", state)])];
  const rows = list({
    label: t("withdrawals"), columns, empty: t("no_withdrawals"), refreshMs: REFRESH_MS, query,
    load: (filterValues, after) => get("withdrawals", { ...filterValues, after }),
    filters: [choiceFilter("state", t("state"), states, "requested"), searchFilter("user_id", t("user_id"))],
  });
  const days = dayList();
  fill(container,
    card("", el("p", { class: "note" }, t("withdrawals_note")), rows.node),
    card(t("sums_per_day"), permitted("GET WithdrawalReport", reportForm()), days.node));
  return rows.stop;
}

const personAndTime = ({ user_id: id, requested_at: at }) =>
  [el("a", { href: `#/people/${id}` }, id), el("small", {}, formatDateTime(at))];

const money = ({ fen, income, rate }) =>
  [formatYuan(fen), el("small", {}, t("income_at_rate", { income: formatInteger(income), rate: Number(rate) }))];

function approvals({ approvals: names, operators_needed: needed, state }) {
  const isShort = state === "requested" && names.length > 0;
  return [
    needed ? `${names.length} / ${needed}` : t("automatic"),
    names.length ? el("small", {}, names.join(t("comma"))) : null,
    isShort ? el("small", {}, t("needs_another")) : null,
  ];
}

const decision = ({ decided_by: by, reason }) => (by ? [codeText("decider", by), el("small", {}, codeText("withdrawal_reason", reason))] : "–");

/** The transfer at WeChat Pay, with both numbers and what keeps it from making progress. */
function transfer({ id, wechat_number: number, finished_at: at, problem, fail_reason: failReason }) {
  const failure = problem || failReason;
  return [
    el("code", {}, id),
    failure ? [" ", el("b", { class: "error" }, failure)] : null,
    el("small", {}, [number, at && formatDateTime(at)].filter(Boolean).join(" · ")),
  ];
}

function actions(withdrawal, onDecided) {
  const isApprovable = withdrawal.state === "requested" && !withdrawal.approvals.includes(session().name);
  const isDeclinable = !FINAL.includes(withdrawal.state) && !withdrawal.decided_by;
  const decideBy = (decide) => async () => (await decide(withdrawal)) && onDecided();
  return [
    isApprovable ? permitted("POST ApproveWithdrawal", button(t("approve"), decideBy(approve), { kind: "main" })) : null,
    isDeclinable ? permitted("POST DeclineWithdrawal", button(t("decline"), decideBy(decline), { kind: "danger" })) : null,
  ];
}

function approve(withdrawal) {
  const { id, user_id: user, approvals: names, operators_needed: needed } = withdrawal;
  const isLast = names.length + 1 >= needed;
  return openFormDialog({
    title: t("approve_title", { fen: formatYuan(withdrawal.fen), user }),
    messages: [
      t("withdrawal_text", { income: formatInteger(withdrawal.income), id }),
      t(isLast ? "approve_text" : "approve_says_first"),
      names.length ? t("approved_before", { names: names.join(t("comma")) }) : null,
    ].filter(Boolean),
    fields: [reasonField()],
    confirmLabel: t("approve"),
    async onConfirm(values) {
      const decided = await api("POST", `withdrawals/${id}/approve`, values);
      showToast(t(decided.state === "requested" ? "approve_waits" : "approve_done"));
      return decided;
    },
  });
}

const isSubmitted = ({ state }) => ["submitted", "awaiting_user"].includes(state);

function decline(withdrawal) {
  return openFormDialog({
    title: t("decline_withdrawal_title", { fen: formatYuan(withdrawal.fen), user: withdrawal.user_id }),
    messages: [t(isSubmitted(withdrawal) ? "decline_submitted_text" : "decline_withdrawal_text", { income: formatInteger(withdrawal.income) })],
    fields: [{ ...reasonField(), hint: t("shown_to_user") }],
    confirmLabel: t("decline"),
    danger: true,
    async onConfirm(values) {
      const decided = await api("POST", `withdrawals/${withdrawal.id}/decline`, values);
      showToast(t(decided.state === "returned" ? "decline_withdrawal_done" : "decline_withdrawal_waits"));
      return decided;
    },
  });
}
