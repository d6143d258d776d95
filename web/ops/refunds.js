// Refund cases: the list of them, and the dialog that opens one on orders of a user.

import { Refused, api, get, newRequestId } from "/ops/api.js";
import { openFormDialog } from "/ops/form_dialog.js";
import { card, statusDot } from "/ops/dom.js";
import { el, fill } from "/ops/shared/dom.js";
import { formatDateTime, formatInteger, formatYuan } from "/ops/format.js";
import { reasonField } from "/ops/form.js";
import { codeText, t } from "/ops/i18n.js";
import { choiceFilter, list, searchFilter } from "/ops/list.js";

const REFRESH_MS = 15_000;
const STATE_KINDS = { opened: "warn", confirmed: "muted", reversing: "muted", refunding: "muted", closed: "good", dropped: "muted" };
const FINAL_ORDERS = ["refunded", "settled"];

/** Whether nothing is left to do for an order of a case. */
export const isFinal = (order) => FINAL_ORDERS.includes(order.state);

export const caseState = ({ state }) => statusDot(STATE_KINDS[state], codeText("refund", state));

export function refundsPage(container, _poller, _id, query) {
  const columns = [
    { head: t("person"), cell: ({ user_id: id, opened_at: at }) => [el("a", { href: `#/people/${id}` }, id), el("small", {}, formatDateTime(at))] },
    { head: t("state"), cell: caseState },
    { head: t("money"), kind: "number", cell: ({ fen }) => formatYuan(fen) },
    { head: t("gold"), kind: "number", cell: ({ gold }) => formatInteger(gold) },
    { head: t("refunded"), cell: refundedOrders },
    { head: t("reason"), kind: "wide", cell: ({ reason }) => reason },
    { head: t("opened_by"), cell: (refundCase) => refundCase.opened_by },
    { head: t("decision"), kind: "wide", cell: (refundCase) => (refundCase.decided_by ? [refundCase.decided_by, el("small", {}, refundCase.decision_reason)] : "–") },
    { head: t("actions"), kind: "actions", cell: ({ id }) => el("a", { class: "button", href: `#/refunds/${id}` }, t("open")) },
  ];
  const states = [["", t("all_states")], ...Object.keys(STATE_KINDS).map((state) => [state, codeText("refund", state)])];
  const rows = list({
    label: t("refunds"), columns, empty: t("no_refunds"), refreshMs: REFRESH_MS, query,
    load: (filterValues, after) => get("refunds", { ...filterValues, after }),
    filters: [choiceFilter("state", t("state"), states), searchFilter("user_id", t("user_id"))],
  });
  fill(container, card("", el("p", { class: "note" }, t("refunds_note")), rows.node));
  return rows.stop;
}

/** How many orders of a case are done, what was settled or is left to Apple, and what the provider refuses. */
function refundedOrders({ state, orders }) {
  if (state === "dropped") return "–";
  const done = orders.filter(isFinal).length;
  const settled = orders.filter((order) => order.state === "settled").length;
  const byApple = orders.filter((order) => order.by_apple && !isFinal(order)).length;
  const problems = [...new Set(orders.map((order) => order.problem).filter(Boolean))];
  return [
    `${done} / ${orders.length}`,
    settled ? el("small", {}, t("settled_by_hand", { n: settled })) : null,
    byApple ? el("small", {}, t("left_to_apple", { n: byApple })) : null,
    problems.map((problem) => el("small", { class: "error" }, codeText("refund_problem", problem))),
  ];
}

const leftOf = (order) => (order.paid_fen || order.fen) - order.refunded;

export const isRefundable = (order) => order.state === "paid" && leftOf(order) > 0;

/** Offers the user's paid orders, of which the latest are read. */
export async function openCaseOf(userId) {
  const { items, next } = await get("orders", { user_id: userId, state: "paid" });
  await openCase(userId, items.filter(isRefundable), Boolean(next));
}

/** Opens a case on the chosen orders of a user, and shows its page with the preview. */
export async function openCase(userId, orders, hasMore = false) {
  const idempotency = { request_id: newRequestId() };
  const orderField = (order) => ({
    name: order.id, kind: "checkbox", value: orders.length === 1,
    label: `${formatYuan(leftOf(order))} · ${t("gold_n", { n: formatInteger(order.gold) })}`,
    hint: [formatDateTime(order.paid_at), order.id, order.platform].filter(Boolean).join(" · "),
  });
  const messages = [t(orders.length ? "open_refund_text" : "nothing_refundable"), hasMore ? t("older_orders") : null];
  const opened = await openFormDialog({
    title: t("open_refund_title", { user: userId }),
    messages: messages.filter(Boolean),
    fields: [...orders.map(orderField), reasonField()],
    confirmLabel: t("open_refund_yes"),
    onConfirm({ reason, ...chosen }) {
      const numbers = Object.keys(chosen).filter((number) => chosen[number]);
      if (!numbers.length) throw new Refused(400, "no_order_chosen", "");
      return api("POST", "refunds", { user_id: userId, orders: numbers, reason, ...idempotency });
    },
  });
  if (opened?.id) location.hash = `#/refunds/${opened.id}`;
}
