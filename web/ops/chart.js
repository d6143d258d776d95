// A small line chart in SVG: the last half hour, the newest on the right.

import { el, fill } from "/ops/dom.js";
import { clock, short } from "/ops/figures.js";
import { t } from "/ops/i18n.js";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [300, 84];
const AIR = 1.25; // the line stays below the figure at the top
const LEAST = 2 * 60 * 1000;

const shape = (tag, props) => {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(props)) node.setAttribute(name, value);
  return node;
};

/** The next round figure, so that the line has some air above it. */
export function ceiling(most) {
  if (!(most > 0)) return 1;
  const ten = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 2.5, 5, 10].find((step) => step * ten >= most) * ten;
}

/** One "M…L…" for each stretch without a hole. */
export function path(rows, name, x, y) {
  let pen = "M";
  let drawn = "";
  for (const row of rows) {
    const value = row[name] ?? null;
    if (value === null || Number.isNaN(value)) {
      pen = "M";
      continue;
    }
    drawn += `${pen}${x(row.at).toFixed(1)} ${y(value).toFixed(1)}`;
    if (pen === "M") drawn += "h0.01"; // a single value is a dot
    pen = "L";
  }
  return drawn;
}

/**
 * chart({ title, unit, lines: [{ name, words, kind }], none }): `show(rows)` draws rows of
 * { at, [name]: number or null }; `none()` is said where nothing was ever measured.
 */
export function chart({ title, unit = "", lines, none = () => t("no_samples") }) {
  const now = el("div", { class: "now" });
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
  const top = el("span", { class: "top" });
  const from = el("span", {});
  const till = el("span", {});
  const blank = el("p", { class: "blank" });
  const plot = el("div", { class: "plot" }, svg, top, blank);
  const node = el("figure", { class: "chart" }, el("figcaption", {}, el("span", {}, title), now), plot, el("div", { class: "times" }, from, till));
  let drawn = null;
  let pointed = null;

  function tell() {
    const row = pointed === null || !drawn ? drawn?.rows.at(-1) : nearest(drawn, pointed);
    const said = lines.map((line) => ({ ...line, value: short(row?.[line.name] ?? null) }));
    fill(now, said.map((line) => el("span", { class: line.kind ?? "one" }, line.words ? `${line.words} ` : null, el("b", {}, line.value), unit ? ` ${unit}` : null)));
    fill(till, pointed === null || !row ? t("now") : clock(row.at));
    svg.setAttribute("aria-label", `${title}: ${said.map((line) => `${line.words ?? ""} ${line.value} ${unit}`.trim()).join(", ")}`);
  }

  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    pointed = (event.clientX - box.left) / box.width;
    tell();
  });
  plot.addEventListener("pointerleave", () => { pointed = null; tell(); });

  function show(rows) {
    const values = lines.flatMap((line) => rows.map((row) => row[line.name] ?? 0));
    const any = rows.some((row) => lines.some((line) => (row[line.name] ?? null) !== null && !Number.isNaN(row[line.name])));
    fill(blank, any ? "" : none());
    const end = rows.at(-1)?.at ?? Date.now();
    const start = Math.min(rows[0]?.at ?? end, end - LEAST);
    const most = ceiling(AIR * Math.max(0, ...values.filter((value) => !Number.isNaN(value))));
    const x = (at) => ((at - start) / (end - start)) * WIDTH;
    const y = (value) => HEIGHT - 2 - (value / most) * (HEIGHT - 6);
    drawn = { rows, start, end };
    fill(top, any ? `${short(most)}${unit ? ` ${unit}` : ""}` : "");
    fill(from, clock(start));
    svg.replaceChildren(
      shape("path", { class: "rule", d: `M0 ${y(0)}H${WIDTH}M0 ${y(most / 2)}H${WIDTH}M0 ${y(most)}H${WIDTH}` }),
      ...lines.map((line) => shape("path", { class: `line ${line.kind ?? "one"}`, d: path(rows, line.name, x, y) })),
    );
    tell();
  }

  show([]);
  return { node, show };
}

function nearest({ rows, start, end }, share) {
  const at = start + share * (end - start);
  return rows.reduce((best, row) => (Math.abs(row.at - at) < Math.abs(best.at - at) ? row : best), rows[0]);
}
