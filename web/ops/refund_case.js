// Page of one refund case: preview, decision, and the progress of each step.

import { api, get, permitted } from "/ops/api.js";
import { openFormDialog } from "/ops/form_dialog.js";
import { card, definitionList, scrollTable, statusDot } from "/ops/dom.js";
import { button, el, fill } from "/ops/shared/dom.js";
import { showToast } from "/ops/shared/toast.js";
import { formatDateTime, formatInteger, formatYuan } from "/ops/format.js";
import { reasonField } from "/ops/form.js";
import { codeText, t } from "/ops/i18n.js";
import { list, localPages } from "/ops/list.js";
import { caseState, isFinal } from "/ops/refunds.js";

const REFRESH_MS = 3_000;
const IN_PROGRESS = ["confirmed", "reversing", "refunding"];
const ORDER_KINDS = { waiting: "muted", taken: "warn", requested: "warn", refunded: "good", settled: "good" };
const GIFT_KINDS = { waiting: "warn", reversed: "good", already_reversed: "muted" };

export function refundCasePage(container, _poller, id) {
  let shown = null;
  const head = el("div", { class: "case-cards" });
  const gifts = giftList(() => shown?.gifts ?? []);
  const giftCard = card(t("gifts_to_reverse"), el("p", { class: "note" }, t("gifts_note")), gifts.node);
  giftCard.hidden = true;
  fill(container, head, giftCard);

  async function load() {
    try {
      const found = await get(`refunds/${id}`);
      if (JSON.stringify(found) === JSON.stringify(shown)) return;
      shown = found;
      fill(head, summaryCard(shown, load), ordersCard(shown, load), hostsCard(shown));
      giftCard.hidden = !shown.gifts.length;
      gifts.reload();
    } catch (error) {
      if (!shown) fill(head, card("", el("p", { class: "error", role: "alert" }, error.message)));
    }
  }
  const isInUse = () => document.hidden || document.querySelector("dialog[open]") || container.contains(document.activeElement);
  const timer = setInterval(() => IN_PROGRESS.includes(shown?.state) && !isInUse() && load(), REFRESH_MS);
  load();
  return () => clearInterval(timer);
}

// ---- the summary

function summaryCard(refundCase, reload) {
  const decideBy = (decide) => async () => (await decide(refundCase)) && reload();
  const buttons = refundCase.state !== "opened" ? [] : [
    permitted("POST ConfirmRefund", button(t("confirm_refund"), decideBy(confirm), { kind: "main" })),
    permitted("POST DropRefund", button(t("drop_refund"), decideBy(drop), { kind: "danger" })),
  ];
  const { user_id: user, fen, gold, unspent, uncovered } = refundCase;
  return card("",
    el("h2", {}, caseState(refundCase)),
    progress(refundCase),
    notes(refundCase).map((note) => el("p", { class: "message" }, note)),
    definitionList([
      [t("person"), el("a", { href: `#/people/${user}` }, user)],
      [t("to_refund"), el("b", {}, `${formatYuan(fen)} · ${t("gold_n", { n: formatInteger(gold) })}`)],
      [t("unspent"), formatInteger(unspent)],
      [t("in_gifts"), `${formatInteger(sum(refundCase.gifts, "gold"))}${t("of_gifts", { n: refundCase.gifts.length })}`],
      [t("user_owes"), uncovered ? el("b", { class: "error" }, formatInteger(uncovered)) : "0"],
      [t("reason"), refundCase.reason],
      [t("opened_by"), `${refundCase.opened_by} · ${formatDateTime(refundCase.opened_at)}`],
      ...decisionFacts(refundCase),
    ]),
    buttons.length ? el("div", { class: "actions" }, buttons) : null);
}

const sum = (rows, name) => rows.reduce((total, row) => total + row[name], 0);

function decisionFacts({ state, decided_by: by, decided_at: at, decision_reason: reason, closed_at: closedAt }) {
  if (!by) return [];
  const decided = [t(state === "dropped" ? "dropped_by" : "confirmed_by"), `${by} · ${formatDateTime(at)} · ${reason}`];
  return closedAt ? [decided, [t("closed_at"), formatDateTime(closedAt)]] : [decided];
}

/** Remarks about the case: its preview, the hosts that it waits for, Apple's part. */
function notes(refundCase) {
  const { state, orders, hosts } = refundCase;
  const apple = orders.filter((order) => order.by_apple && !isFinal(order));
  const waitsFor = hosts.filter((host) => host.stopped).map((host) => host.user_id);
  return [
    state === "opened" ? t("refund_preview_text") : null,
    state === "reversing" && waitsFor.length ? t("waits_for_hosts", { hosts: waitsFor.join(t("comma")) }) : null,
    apple.length && state !== "dropped" ? t("apple_text", { n: apple.length, fen: formatYuan(sum(apple, "fen")) }) : null,
  ].filter(Boolean);
}

/** The stages of a case as a list, with counts; the current one is marked. */
function progress({ state, gifts, orders }) {
  if (state === "dropped") return null;
  const done = (rows, isDone) => `${rows.filter(isDone).length} / ${rows.length}`;
  const stages = [
    ["opened", ""], ["confirmed", ""],
    ["reversing", gifts.length ? done(gifts, (gift) => gift.state !== "waiting") : ""],
    ["refunding", done(orders, isFinal)],
    ["closed", ""],
  ];
  const reached = stages.findIndex(([name]) => name === state);
  return el("ol", { class: "progress", "aria-label": t("progress") }, stages.map(([name, count], n) =>
    el("li", { class: n < reached || state === "closed" ? "done" : "", "aria-current": n === reached ? "step" : undefined },
      t(`stage.${name}`), count ? el("small", {}, count) : null)));
}

// ---- the steps

function ordersCard(refundCase, reload) {
  const { orders } = refundCase;
  const headings = [t("state"), t("money"), t("gold"), t("order"), t("provider"), t("refund_number"), t("provider_refund")];
  const rows = orders.map((order) => tableRow([
    [orderState(order), settleButton(refundCase, order, reload)], formatYuan(order.fen), formatInteger(order.gold),
    el("a", { href: `#/orders?q=${order.number}` }, el("code", {}, order.number)), codeText("source", order.provider),
    order.by_apple ? "–" : el("code", {}, order.refund),
    order.provider_refund ? el("code", {}, order.provider_refund) : "–",
  ]));
  return card(t("orders"), scrollTable(t("orders"), headings, rows));
}

/** Shown while the provider of the order needs a person, as the server decides it. */
function settleButton(refundCase, order, reload) {
  const needsPerson = !isFinal(order) && (order.by_apple || order.problem !== "");
  if (refundCase.state !== "refunding" || !needsPerson) return null;
  const settleIt = async () => (await settle(refundCase, order)) && reload();
  return permitted("POST SettleRefund", button(t("settle_refund"), settleIt, { kind: "danger" }));
}

function orderState(order) {
  const waitsForApple = order.by_apple && order.state === "taken";
  const text = waitsForApple ? t("waits_for_apple") : codeText("refund_order", order.state);
  return [
    statusDot(ORDER_KINDS[order.state], text),
    order.by_apple && !waitsForApple ? el("small", {}, t("by_apple")) : null,
    order.settled_by ? el("small", {}, `${order.settled_by} · ${order.settled_reason}`) : null,
    order.problem ? el("small", { class: "error" }, codeText("refund_problem", order.problem)) : null,
  ];
}

function hostsCard({ state, hosts, gifts }) {
  if (!hosts.length) return null;
  const isPreview = state === "opened" || state === "dropped";
  const names = ["host_income", "free", "held", "paid_out", "spent_on_gifts", isPreview ? "will_owe" : "owes"];
  const rows = hosts.map((host) => {
    const own = gifts.filter((gift) => gift.host === host.user_id);
    const owed = isPreview ? host.paid + host.spent : sum(own, "owed");
    return tableRow([
      [el("a", { href: `#/people/${host.user_id}` }, host.user_id), host.stopped ? el("small", {}, t("withdrawals_stopped")) : null],
      ...[host.income, host.free, host.held, host.paid, host.spent].map(formatInteger),
      owed ? el("b", { class: "error" }, formatInteger(owed)) : "0",
    ]);
  });
  return card(t("hosts_income"), el("p", { class: "note" }, t("hosts_note")),
    scrollTable(t("hosts_income"), [t("host"), ...names.map((name) => t(name))], rows));
}

const tableRow = (cells) => el("tr", {}, cells.map((cell) => el("td", {}, cell)));

/** `getGifts()` returns those of the case as it was last read. */
function giftList(getGifts) {
  return list({
    label: t("gifts_to_reverse"), empty: t("no_gifts_to_reverse"),
    columns: [
      { head: t("at"), cell: (gift) => formatDateTime(gift.at) },
      { head: t("host"), cell: ({ host }) => el("a", { href: `#/people/${host}` }, host) },
      { head: t("gold"), kind: "number", cell: ({ gold }) => formatInteger(gold) },
      { head: t("income"), kind: "number", cell: ({ income }) => formatInteger(income) },
      { head: t("state"), cell: ({ state }) => statusDot(GIFT_KINDS[state], codeText("refund_gift", state)) },
      { head: t("taken_back"), kind: "number", cell: (gift) => (gift.state === "reversed" ? formatInteger(gift.taken) : "–") },
      { head: t("owes"), kind: "number", cell: (gift) => (gift.state === "reversed" ? formatInteger(gift.owed) : "–") },
      { head: t("entry"), cell: (gift) => el("code", {}, gift.key) },
    ],
    load: localPages(async () => ({ items: getGifts() }), () => true),
  });
}

// ---- decisions

function confirm(refundCase) {
  const { fen, gold, gifts, hosts, user_id: user } = refundCase;
  const amounts = {
    fen: formatYuan(fen), gold: formatInteger(gold), gifts: gifts.length,
    hosts: hosts.length, income: formatInteger(sum(hosts, "income")),
  };
  return openFormDialog({
    title: t("confirm_refund_title", { user }),
    messages: [t("confirm_refund_text", amounts), t("confirm_refund_final"), t("second_person_text")],
    fields: [reasonField()],
    confirmLabel: t("confirm_refund"),
    danger: true,
    onConfirm: (values) => api("POST", `refunds/${refundCase.id}/confirm`, values).then(
      () => showToast(t("confirm_refund_done")),
      (error) => {
        if (error.code !== "refund_changed") throw error;
        showToast(error.message, "bad"); // the page shows the new preview
      },
    ),
  });
}

function drop(refundCase) {
  return openFormDialog({
    title: t("drop_refund_title"),
    messages: [t("drop_refund_text")],
    fields: [reasonField()],
    confirmLabel: t("drop_refund"),
    danger: true,
    async onConfirm(values) {
      await api("POST", `refunds/${refundCase.id}/drop`, values);
      showToast(t("drop_refund_done"));
    },
  });
}

function settle(refundCase, { number }) {
  return openFormDialog({
    title: t("settle_refund_title", { order: number }),
    messages: [t("settle_refund_text"), t("second_person_text")],
    fields: [reasonField()],
    confirmLabel: t("settle_refund"),
    danger: true,
    async onConfirm(values) {
      await api("POST", `refunds/${refundCase.id}/settle`, { order: number, ...values });
      showToast(t("settle_refund_done"));
    },
  });
}
