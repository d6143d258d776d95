// Money from outside: orders, and what was reported about them and everything else.

import { api, get } from "/ops/api.js";
import { ask } from "/ops/ask.js";
import { button, card, el, fill, say, state } from "/ops/dom.js";
import { when, whole, yuan } from "/ops/figures.js";
import { t, word } from "/ops/i18n.js";
import { choice, list, search } from "/ops/list.js";

const ORDER = { created: "warn", paid: "good", closed: "still" };
const REPORT = { received: "warn", done: "good", ignored: "still", refused: "bad" };
const SOURCES = ["im", "live", "jsapi", "xpay"];
const AGAIN = ["jsapi", "xpay"];

const choices = (kind, all, states) => [["", t(all)], ...states.map((said) => [said, word(kind, said)])];

export function orders(place, _heard, _id, query) {
  const columns = [
    { head: t("made_at"), cell: (order) => when(order.created_at) },
    { head: t("order"), kind: "wide", cell: (order) => el("code", {}, order.id) },
    { head: t("person"), cell: (order) => el("a", { href: `#/people/${order.user_id}` }, order.user_id) },
    { head: t("state"), cell: (order) => [state(ORDER[order.state], word("order", order.state)), order.sandbox ? state("still", t("sandbox")) : null].filter(Boolean) },
    { head: t("money"), kind: "number", cell: (order) => yuan(order.fen) },
    { head: t("gold"), kind: "number", cell: (order) => whole(order.gold) },
    { head: t("refunded"), kind: "number", cell: (order) => (order.refunded ? yuan(order.refunded) : "–") },
    { head: t("provider"), cell: (order) => word("source", order.provider) },
    { head: t("paid_at"), cell: (order) => when(order.paid_at) },
    { head: t("transaction"), kind: "wide", cell: (order) => (order.transaction ? el("code", {}, order.transaction) : "–") },
    { head: t("refused_for"), cell: (order) => (order.refused ? state("bad", order.refused) : "–") },
  ];
  const rows = list({
    label: t("orders"), columns, empty: t("no_orders"),
    load: (wanted, after) => get("orders", { ...wanted, after }),
    filters: [
      search("q", t("search_orders")),
      choice("state", t("state"), choices("order", "all_states", Object.keys(ORDER))),
    ],
    query,
  });
  fill(place, card("", rows.node));
}

export function inbox(place, _heard, _id, query) {
  const columns = [
    { head: t("received_at"), cell: (report) => when(report.received_at) },
    { head: t("source"), cell: (report) => word("source", report.source) },
    { head: t("outcome"), cell: (report) => state(REPORT[report.outcome], word("report", report.outcome)) },
    { head: t("genuine"), cell: (report) => (report.genuine ? t("yes") : state("bad", t("no"))) },
    { head: t("why"), cell: (report) => report.reason || "–" },
    { head: t("times"), kind: "number", cell: (report) => whole(report.times) },
    { head: t("report"), kind: "wide", cell: content },
    { head: t("actions"), kind: "acts", cell: (report) =>
      report.genuine && AGAIN.includes(report.source)
        ? button(t("again"), async () => (await again(report)) && rows.again())
        : "" },
  ];
  const rows = list({
    label: t("inbox"), columns, empty: t("no_reports"),
    load: (wanted, after) => get("inbox", { ...wanted, after }),
    filters: [
      search("q", t("search_inbox")),
      choice("source", t("source"), choices("source", "all_sources", SOURCES)),
      choice("outcome", t("outcome"), choices("report", "all_outcomes", Object.keys(REPORT))),
    ],
    query,
  });
  fill(place, card("", rows.node));
}

const content = (report) =>
  el("details", {}, el("summary", {}, report.id), report.query ? el("pre", {}, report.query) : null, el("pre", {}, report.raw));

function again(report) {
  return ask({
    title: t("again_title"),
    says: [t("again_says", { id: report.id })],
    yes: t("again_yes"),
    async act() {
      const { outcome, reason } = await api("POST", "inbox/again", { id: report.id });
      say(`${word("report", outcome)} ${reason}`.trim(), outcome === "refused" ? "bad" : "good");
      return true;
    },
  });
}
