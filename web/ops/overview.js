// Overview page: today's totals, charts of the last half hour, and service states.

import { get } from "/ops/api.js";
import { chart } from "/ops/chart.js";
import { card, definitionList, scrollTable, statusDot, tile } from "/ops/dom.js";
import { el, fill } from "/ops/shared/dom.js";
import { showToast } from "/ops/shared/toast.js";
import { formatDateTime, formatDuration, formatInteger, formatNumber, formatYuan } from "/ops/format.js";
import { codeText, t } from "/ops/i18n.js";
import { KINDS } from "/ops/moderation.js";

const LATE_ORDER_SECONDS = 15 * 60;

const STATUS_KINDS = { ok: "good", degraded: "warn", draining: "warn", down: "bad", unknown: "muted" };

/** Renders into `container` until the returned function is called. */
export function overviewPage(container, overviewPoller) {
  const charts = createCharts();
  const tileRow = el("div", { class: "tiles" });
  const states = el("div", { class: "states" });
  const note = el("p", { class: "note" });
  fill(container, tileRow, el("div", { class: "charts" }, charts.map((chart) => chart.node)), note, states);

  const draw = async () => {
    const { points } = await get("charts");
    const rows = points.map((point) => ({ ...point, at: new Date(point.at).getTime() }));
    for (const chart of charts) chart.show(rows);
    fill(note, t("charts_note", { n: rows.at(-1)?.processes ?? "–" }));
  };
  const show = (overview, error) => {
    if (error) {
      if (error.status !== 401) showToast(error.message, "bad");
      return;
    }
    fill(tileRow, tiles(overview));
    fill(states, el("div", {}, dependenciesCard(overview), ledgerCard(overview)), el("div", {}, moderationCard(overview), attentionCard(overview), refusedCard(overview)));
    draw().catch((failure) => fill(note, failure.message));
  };
  const unsubscribe = overviewPoller.onOverview(show);
  overviewPoller.poll();
  return unsubscribe;
}

const createCharts = () => [
  chart({ title: t("chart.sockets"), lines: [{ name: "sockets" }] }),
  chart({ title: t("chart.events"), unit: "/s", lines: [{ name: "events_rate" }] }),
  chart({ title: t("chart.delivery"), unit: "ms", lines: [{ name: "slowest_delivery_ms" }] }),
  chart({ title: t("chart.lag"), unit: "ms", lines: [{ name: "loop_lag_ms" }] }),
  chart({ title: t("chart.requests"), unit: "/s", lines: [{ name: "requests_rate" }] }),
  chart({ title: t("chart.slowest"), unit: "ms", lines: [{ name: "slowest_request_ms" }] }),
  chart({ title: t("chart.errors"), unit: "/s", lines: [
    { name: "refused_rate", label: "4xx", kind: "two" }, { name: "failed_rate", label: "5xx", kind: "bad" },
  ] }),
];

function tiles(overview) {
  const { sold, given } = overview.today;
  return [
    tile(t("status"), statusDot(STATUS_KINDS[overview.status], codeText("status", overview.status)), formatDateTime(overview.at)),
    tile(t("rooms_live"), formatInteger(overview.rooms), t("people_in_rooms", { n: formatInteger(overview.people) })),
    tile(t("paid_today"), formatYuan(sold.fen), t("orders_n", { n: formatInteger(sold.orders) })),
    tile(t("gold_sold"), formatInteger(sold.gold), t("today")),
    tile(t("gold_given"), formatInteger(given.gold), t("income_earned", { n: formatInteger(given.income) })),
    tile(t("debtors"), formatInteger(overview.debtors), t("owed_n", { n: formatInteger(overview.book.owed) }), overview.debtors ? "warn" : ""),
  ];
}

const table = (label, headings, rows, empty) => scrollTable(label, headings, rows.length
  ? rows.map((cells) => el("tr", {}, cells.map((cell) => el("td", {}, cell))))
  : el("tr", {}, el("td", { class: "empty", colspan: headings.length }, empty)));

function dependenciesCard(overview) {
  const rows = Object.entries(overview.dependencies).map(([name, dependency]) => [
    codeText("dependency", name),
    statusDot(STATUS_KINDS[dependency.state], codeText("status", dependency.state)),
    dependency.latency_ms === null ? "–" : `${formatNumber(dependency.latency_ms)} ms`,
    dependency.since ? formatDateTime(dependency.since) : "–",
  ]);
  return card(t("dependencies"), table(t("dependencies"), [t("dependency"), t("state"), t("latency"), t("since")], rows));
}

function ledgerCard({ book: ledger, at }) {
  const status = ledger.problems === null ? ["muted", t("book_unknown")]
    : ledger.problems < 0 ? ["bad", t("book_failed")]
    : ledger.problems ? ["bad", t("book_wrong", { n: ledger.problems })] : ["good", t("book_right")];
  const ago = (moment) => (moment ? t("ago", { s: formatDuration(new Date(at) / 1000 - moment) }) : "–");
  const oldestSeconds = ledger.oldest_unpaid_seconds;
  return card(t("book"), definitionList([
    [t("ledger_check"), statusDot(...status)],
    [t("checked"), ago(ledger.at)],
    [t("checked_whole"), ago(ledger.full_at)],
    [t("gold_held"), formatInteger(ledger.gold)],
    [t("income_held"), formatInteger(ledger.income)],
    [t("money_paid"), formatYuan(ledger.fen)],
    [t("oldest_unpaid"), oldestSeconds ? statusDot(oldestSeconds > LATE_ORDER_SECONDS ? "warn" : "good", formatDuration(oldestSeconds)) : statusDot("good", t("none"))],
  ]));
}

/** Open items of each kind, which lead to its queue. */
function moderationCard({ at, moderation }) {
  const rows = KINDS.map((kind) => moderation.find((row) => row.kind === kind)).filter(Boolean).map((row) => [
    statusDot("warn", el("a", { href: `#/moderation?kind=${row.kind}&state=open` }, t(`item.${row.kind}`))),
    formatInteger(row.items),
    formatDuration((Date.parse(at) - Date.parse(row.oldest_at)) / 1000),
  ]);
  return card(t("open_items"), table(t("open_items"), [t("kind"), t("count"), t("oldest_item")], rows, t("no_items")));
}

/** Complaints, penalties and the like; each row leads to its events in the inbox. */
function attentionCard(overview) {
  const rows = overview.attention.map((row) => [
    statusDot("bad", el("a", { href: `#/inbox?event=${row.event}` }, codeText("push_event", row.event))),
    formatInteger(row.times),
    formatDateTime(row.latest_at),
  ]);
  return card(t("attention"), table(t("attention"), [t("push_event"), t("times"), t("latest_at")], rows, t("nothing_to_do")));
}

function refusedCard(overview) {
  const rows = overview.refused.map((row) => [codeText("source", row.source), row.reason || "–", formatInteger(row.times)]);
  return card(t("refused_callbacks"),
    table(t("refused_callbacks"), [t("source"), t("why"), t("times")], rows, t("nothing_refused")));
}
