// SVG line chart of the last half hour, newest value on the right.

import { el, fill } from "/ops/shared/dom.js";
import { formatNumber, formatTime } from "/ops/format.js";
import { t } from "/ops/i18n.js";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [300, 84];
const HEADROOM = 1.25; // keeps the line below the label of the maximum
const MIN_SPAN_MS = 2 * 60 * 1000;

const svgElement = (tag, props) => {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(props)) node.setAttribute(name, value);
  return node;
};

/** Smallest round number that is not less than `max`. */
export function axisMaximum(max) {
  if (!(max > 0)) return 1;
  const magnitude = 10 ** Math.floor(Math.log10(max));
  return [1, 2, 2.5, 5, 10].find((step) => step * magnitude >= max) * magnitude;
}

/** SVG path data; null values interrupt the line. */
export function linePath(rows, name, x, y) {
  let command = "M";
  let data = "";
  for (const row of rows) {
    const value = row[name] ?? null;
    if (value === null || Number.isNaN(value)) {
      command = "M";
      continue;
    }
    data += `${command}${x(row.at).toFixed(1)} ${y(value).toFixed(1)}`;
    if (command === "M") data += "h0.01"; // draws a single value as a dot
    command = "L";
  }
  return data;
}

/**
 * chart({ title, unit, lines: [{ name, label, kind }] })
 *
 * `show(rows)` draws rows of { at, [name]: number or null }.
 */
export function chart({ title, unit = "", lines }) {
  const latest = el("div", { class: "now" });
  const svg = svgElement("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
  const top = el("span", { class: "top" });
  const startLabel = el("span", {});
  const endLabel = el("span", {});
  const emptyNote = el("p", { class: "blank" });
  const plot = el("div", { class: "plot" }, svg, top, emptyNote);
  const node = el("figure", { class: "chart" }, el("figcaption", {}, el("span", {}, title), latest), plot, el("div", { class: "times" }, startLabel, endLabel));
  let shown = null;
  let pointer = null;

  function updateLabels() {
    const row = pointer === null || !shown ? shown?.rows.at(-1) : nearest(shown, pointer);
    const labels = lines.map((line) => ({ ...line, value: formatNumber(row?.[line.name] ?? null) }));
    fill(latest, labels.map((line) => el("span", { class: line.kind ?? "one" }, line.label ? `${line.label} ` : null, el("b", {}, line.value), unit ? ` ${unit}` : null)));
    fill(endLabel, pointer === null || !row ? t("now") : formatTime(row.at));
    svg.setAttribute("aria-label", `${title}: ${labels.map((line) => `${line.label ?? ""} ${line.value} ${unit}`.trim()).join(", ")}`);
  }

  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    pointer = (event.clientX - box.left) / box.width;
    updateLabels();
  });
  plot.addEventListener("pointerleave", () => { pointer = null; updateLabels(); });

  function show(rows) {
    const values = lines.flatMap((line) => rows.map((row) => row[line.name] ?? 0));
    const hasData = rows.some((row) => lines.some((line) => (row[line.name] ?? null) !== null && !Number.isNaN(row[line.name])));
    fill(emptyNote, hasData ? "" : t("no_samples"));
    const end = rows.at(-1)?.at ?? Date.now();
    const start = Math.min(rows[0]?.at ?? end, end - MIN_SPAN_MS);
    const max = axisMaximum(HEADROOM * Math.max(0, ...values.filter((value) => !Number.isNaN(value))));
    const x = (at) => ((at - start) / (end - start)) * WIDTH;
    const y = (value) => HEIGHT - 2 - (value / max) * (HEIGHT - 6);
    shown = { rows, start, end };
    fill(top, hasData ? `${formatNumber(max)}${unit ? ` ${unit}` : ""}` : "");
    fill(startLabel, formatTime(start));
    const rules = hasData ? [0, max / 2, max] : [0, max]; // without data the text is in the middle
    svg.replaceChildren(
      svgElement("path", { class: "rule", d: rules.map((value) => `M0 ${y(value)}H${WIDTH}`).join("") }),
      ...lines.map((line) => svgElement("path", { class: `line ${line.kind ?? "one"}`, d: linePath(rows, line.name, x, y) })),
    );
    updateLabels();
  }

  show([]);
  return { node, show };
}

function nearest({ rows, start, end }, fraction) {
  const at = start + fraction * (end - start);
  return rows.reduce((closest, row) => (Math.abs(row.at - at) < Math.abs(closest.at - at) ? row : closest), rows[0]);
}
