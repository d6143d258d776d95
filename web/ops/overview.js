// How the night goes: figures of today, charts of the last half hour, and every state.

import { chart } from "/ops/chart.js";
import { card, el, facts, fill, say, sheet, state } from "/ops/dom.js";
import { short, span, when, whole, yuan } from "/ops/figures.js";
import { t, word } from "/ops/i18n.js";

const LATE_ORDER = 15 * 60;

const KIND = { ok: "good", degraded: "warn", draining: "warn", down: "bad", unknown: "still" };

/** Shows itself in `place` until the answered function is called. */
export function overview(place, { samples, today }) {
  const charts = drawings(samples);
  const figures = el("div", { class: "figures" });
  const states = el("div", { class: "states" });
  const heard = el("p", { class: "note" });
  fill(place, figures, el("div", { class: "charts" }, charts.map((one) => one.node)), heard, states);

  const draw = () => {
    for (const one of charts) one.show(one.own ? today.rows : samples.rows);
    const said = { n: samples.processes || "–", s: 5 };
    fill(heard, samples.trouble ? samples.trouble.message : t("heard", said));
  };
  const show = (seen, no) => {
    if (no) {
      if (no.status !== 401) say(no.message, "bad");
      return;
    }
    fill(figures, tiles(seen));
    fill(states, el("div", {}, dependencies(seen), book(seen)), el("div", {}, processes(seen), refused(seen)));
    draw();
  };
  const unheard = [samples.onSample(draw), today.onLook(show)];
  draw();
  today.look();
  return () => unheard.forEach((unhear) => unhear());
}

function drawings(samples) {
  const money = chart({ title: t("chart.gold"), lines: [
    { name: "sold", words: t("sold") }, { name: "given", words: t("given"), kind: "two" },
  ] });
  money.own = true;
  const none = () => samples.measuresTold || !samples.rows.length ? t("no_samples") : t("not_measured");
  return [
    chart({ title: t("chart.sockets"), lines: [{ name: "sockets" }] }),
    chart({ title: t("chart.events"), unit: "/s", lines: [{ name: "events" }] }),
    chart({ title: t("chart.told"), unit: "ms", lines: [{ name: "told" }], none }),
    chart({ title: t("chart.lag"), unit: "ms", lines: [{ name: "lag" }] }),
    chart({ title: t("chart.requests"), unit: "/s", lines: [{ name: "requests" }] }),
    chart({ title: t("chart.took"), unit: "ms", lines: [{ name: "took" }] }),
    chart({ title: t("chart.errors"), unit: "/s", lines: [
      { name: "refused", words: "4xx", kind: "two" }, { name: "failed", words: "5xx", kind: "bad" },
    ] }),
    money,
  ];
}

const tile = (words, figure, note, kind = "") =>
  el("div", { class: `tile ${kind}` }, el("span", {}, words), el("b", {}, figure), el("small", {}, note ?? ""));

function tiles(seen) {
  const { sold, given } = seen.today;
  return [
    tile(t("status"), state(KIND[seen.status], word("status", seen.status)), when(seen.at)),
    tile(t("rooms_live"), whole(seen.rooms), t("people_in_rooms", { n: whole(seen.people) })),
    tile(t("paid_today"), yuan(sold.fen), t("orders_n", { n: whole(sold.orders) })),
    tile(t("gold_sold"), whole(sold.gold), t("today")),
    tile(t("gold_given"), whole(given.gold), t("income_earned", { n: whole(given.income) })),
    tile(t("debtors"), whole(seen.debtors), t("owed_n", { n: whole(seen.book.owed) }), seen.debtors ? "warn" : ""),
  ];
}

const rows = (label, heads, lines, empty) => sheet(label, heads, lines.length
  ? lines.map((cells) => el("tr", {}, cells.map((cell) => el("td", {}, cell))))
  : el("tr", {}, el("td", { class: "empty", colspan: heads.length }, empty)));

function dependencies(seen) {
  const lines = Object.entries(seen.dependencies).map(([name, found]) => [
    word("dependency", name),
    state(KIND[found.state], word("status", found.state)),
    found.latency_ms === null ? "–" : `${short(found.latency_ms)} ms`,
    found.since ? when(found.since) : "–",
  ]);
  return card(t("dependencies"), rows(t("dependencies"), [t("dependency"), t("state"), t("latency"), t("since")], lines));
}

function processes(seen) {
  const lines = seen.processes.map((process) => {
    const left = (new Date(process.lease_until) - new Date(seen.at)) / 1000;
    return [el("code", {}, process.id), state(left > 5 ? "good" : "warn", t("lease_left", { s: span(left) }))];
  });
  return card(t("processes"), rows(t("processes"), [t("process"), t("lease")], lines, t("no_process")));
}

function book({ book: found, at }) {
  const judged = found.problems === null ? ["still", t("book_unknown")]
    : found.problems < 0 ? ["bad", t("book_failed")]
    : found.problems ? ["bad", t("book_wrong", { n: found.problems })] : ["good", t("book_right")];
  const ago = (moment) => (moment ? t("ago", { s: span(new Date(at) / 1000 - moment) }) : "–");
  const old = found.oldest_unpaid_seconds;
  return card(t("book"), facts([
    [t("ledger_check"), state(...judged)],
    [t("checked"), ago(found.at)],
    [t("checked_whole"), ago(found.full_at)],
    [t("gold_held"), whole(found.gold)],
    [t("income_held"), whole(found.income)],
    [t("money_paid"), yuan(found.fen)],
    [t("oldest_unpaid"), old ? state(old > LATE_ORDER ? "warn" : "good", span(old)) : state("good", t("none"))],
  ]));
}

function refused(seen) {
  const lines = seen.refused.map((row) => [word("source", row.source), row.reason || "–", whole(row.times)]);
  return card(t("refused_reports"),
    rows(t("refused_reports"), [t("source"), t("why"), t("times")], lines, t("nothing_refused")));
}
