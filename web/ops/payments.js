// Pages of payment orders and of the inbox of incoming notifications.

import { api, get, may, permitted } from "/ops/api.js";
import { openFormDialog } from "/ops/form_dialog.js";
import { card, statusDot } from "/ops/dom.js";
import { button, el, fill } from "/ops/shared/dom.js";
import { showToast } from "/ops/shared/toast.js";
import { formatDateTime, formatInteger, formatYuan } from "/ops/format.js";
import { codeText, t } from "/ops/i18n.js";
import { choiceFilter, list, searchFilter } from "/ops/list.js";
import { isRefundable, openCase } from "/ops/refunds.js";

const ORDER_KINDS = { created: "warn", paid: "good", closed: "muted" };
const OUTCOME_KINDS = { received: "warn", done: "good", ignored: "muted", refused: "bad" };
const SOURCES = ["im", "live", "jsapi", "xpay", "transfer", "content_check"];
const EVENTS = [
  "xpay_subscribe_ios_refund_query_notify", "xpay_complaint_notify", "xpay_coin_pay_notify", "xpay_wxpay_callback_notify",
  "wxa_punish_event", "user_authorization_revoke", "user_authorization_cancellation",
];
const RERUNNABLE = ["jsapi", "xpay", "transfer"];

const choices = (kind, allKey, codes) => [["", t(allKey)], ...codes.map((code) => [code, codeText(kind, code)])];

export function ordersPage(container, _poller, _id, query) {
  const columns = [
    { head: t("made_at"), cell: (order) => formatDateTime(order.created_at) },
    { head: t("order"), kind: "wide", cell: (order) => el("code", {}, order.id) },
    { head: t("person"), cell: (order) => el("a", { href: `#/people/${order.user_id}` }, order.user_id) },
    { head: t("state"), cell: (order) => [statusDot(ORDER_KINDS[order.state], codeText("order", order.state)), order.sandbox ? statusDot("muted", t("sandbox")) : null].filter(Boolean) },
    { head: t("money"), kind: "number", cell: (order) => formatYuan(order.fen) },
    { head: t("gold"), kind: "number", cell: (order) => formatInteger(order.gold) },
    { head: t("refunded"), kind: "number", cell: (order) => (order.refunded ? formatYuan(order.refunded) : "–") },
    { head: t("provider"), cell: (order) => [codeText("source", order.provider), order.platform ? el("small", {}, order.platform) : null] },
    { head: t("paid_at"), cell: (order) => formatDateTime(order.paid_at) },
    { head: t("transaction"), kind: "wide", cell: (order) => (order.transaction ? el("code", {}, order.transaction) : "–") },
    { head: t("refused_for"), cell: (order) => (order.refused ? statusDot("bad", order.refused) : "–") },
  ];
  const refund = (order) => (isRefundable(order) ? button(t("refund"), () => openCase(order.user_id, [order])) : null);
  if (may("POST Refunds")) columns.push({ head: t("actions"), kind: "actions", cell: refund });
  const rows = list({
    label: t("orders"), columns, empty: t("no_orders"),
    load: (filterValues, after) => get("orders", { ...filterValues, after }),
    filters: [
      searchFilter("q", t("search_orders")),
      choiceFilter("state", t("state"), choices("order", "all_states", Object.keys(ORDER_KINDS))),
    ],
    query,
  });
  fill(container, card("", rows.node));
}

export function inboxPage(container, _poller, _id, query) {
  const columns = [
    { head: t("received_at"), cell: (report) => formatDateTime(report.received_at) },
    { head: t("source"), cell: (report) => [codeText("source", report.source), report.event ? el("small", {}, codeText("push_event", report.event)) : null] },
    { head: t("outcome"), cell: (report) => statusDot(OUTCOME_KINDS[report.outcome], codeText("report", report.outcome)) },
    { head: t("genuine"), cell: (report) => (report.genuine ? t("yes") : statusDot("bad", t("no"))) },
    { head: t("why"), cell: (report) => report.reason || "–" },
    { head: t("times"), kind: "number", cell: (report) => formatInteger(report.times) },
    { head: t("report"), kind: "wide", cell: reportContent },
    { head: t("actions"), kind: "actions", cell: (report) =>
      report.genuine && !report.event && RERUNNABLE.includes(report.source)
        ? permitted("POST RetryMessage", button(t("again"), async () => (await rerun(report)) && rows.reload()))
        : "" },
  ];
  const rows = list({
    label: t("inbox"), columns, empty: t("no_callbacks"),
    load: (filterValues, after) => get("inbox", { ...filterValues, after }),
    filters: [
      searchFilter("q", t("search_inbox")),
      choiceFilter("event", t("push_event"), choices("push_event", "all_events", EVENTS)),
      choiceFilter("source", t("source"), choices("source", "all_sources", SOURCES)),
      choiceFilter("outcome", t("outcome"), choices("report", "all_outcomes", Object.keys(OUTCOME_KINDS))),
    ],
    query,
  });
  fill(container, card("", rows.node));
}

const reportContent = (report) =>
  el("details", {}, el("summary", {}, report.id), report.query ? el("pre", {}, report.query) : null, el("pre", {}, report.raw),
    report.answer ? [el("b", {}, t("answered")), el("pre", {}, JSON.stringify(report.answer, null, 1))] : null);

function rerun(report) {
  return openFormDialog({
    title: t("again_title"),
    messages: [t("again_text", { id: report.id })],
    confirmLabel: t("again_yes"),
    async onConfirm() {
      const { outcome, reason } = await api("POST", "inbox/again", { id: report.id });
      showToast(`${codeText("report", outcome)} ${reason}`.trim(), outcome === "refused" ? "bad" : "good");
      return true;
    },
  });
}
