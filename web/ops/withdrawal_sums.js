// Sums of withdrawals per day in China, and the download of a quarter's report.

import { download, get } from "/ops/api.js";
import { button, el } from "/ops/shared/dom.js";
import { formatInteger, formatYuan } from "/ops/format.js";
import { t } from "/ops/i18n.js";
import { list } from "/ops/list.js";

const QUARTERS = 8; // offered for download
const CHINA_MS = 8 * 3600 * 1000;

export function dayList() {
  const sum = (name) => ({
    head: t(`day.${name}`), kind: "number",
    cell: (day) => (day[name] ? [formatYuan(day[`${name}_fen`]), el("small", {}, t("times_n", { n: formatInteger(day[name]) }))] : "–"),
  });
  return list({
    label: t("sums_per_day"), empty: t("no_days"),
    columns: [{ head: t("day"), cell: ({ day }) => day }, sum("requested"), sum("paid"), sum("returned")],
    load: (_filterValues, after) => get("withdrawals/days", { after }),
  });
}

/** The report is due after the end of a quarter, so that the last complete one is chosen. */
export function reportForm() {
  const quarters = recentQuarters();
  const options = quarters.map((quarter) => el("option", { value: quarter, selected: quarter === quarters[1] }, quarter));
  const select = el("select", { "aria-label": t("quarter") }, options);
  const save = () => download("withdrawals/report.csv", { quarter: select.value }, `withdrawals-${select.value}.csv`);
  return el("div", { class: "card-head" },
    el("p", { class: "note" }, t("report_note")),
    el("div", { class: "actions" }, select, button(t("save_report"), save)));
}

/** The current quarter in China and those before it, like 2026Q4. */
function recentQuarters() {
  const now = new Date(Date.now() + CHINA_MS);
  const current = now.getUTCFullYear() * 4 + Math.floor(now.getUTCMonth() / 3);
  return Array.from({ length: QUARTERS }, (_, n) => `${Math.floor((current - n) / 4)}Q${((current - n) % 4) + 1}`);
}
