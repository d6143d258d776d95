// Numbers and times in the form in which they are read.

import { language, t } from "/ops/i18n.js";

export const whole = (n) => (n ?? null) === null ? "–" : Number(n).toLocaleString("en-US");

/** Three figures are enough to see by. */
export function short(n) {
  if ((n ?? null) === null || Number.isNaN(n)) return "–";
  if (Math.abs(n) >= 10000) return Math.round(n).toLocaleString("en-US");
  return String(Number(n.toPrecision(3)));
}

export const yuan = (fen) =>
  `¥${(fen / 100).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;

const two = (n) => String(n).padStart(2, "0");

export function clock(moment) {
  const at = new Date(moment);
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** Local time, to the second: 11-25 13:08:52, and the year before it when it is another. */
export function when(moment) {
  if (!moment) return "–";
  const at = new Date(moment);
  const year = at.getFullYear() === new Date().getFullYear() ? "" : `${at.getFullYear()}-`;
  return `${year}${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock(at)}`;
}

/** How long, in the two largest units. */
export function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  const units = language() === "zh" ? ["天", "时", "分", "秒"] : ["d", "h", "m", "s"];
  const parts = [Math.floor(s / 86400), Math.floor(s / 3600) % 24, Math.floor(s / 60) % 60, s % 60];
  const first = parts.findIndex((part) => part > 0);
  if (first < 0) return `0${units[3]}`;
  return parts
    .map((part, i) => (i >= first && i < first + 2 && part ? `${part}${units[i]}` : ""))
    .filter(Boolean)
    .join(" ");
}

export const gender = (n) => t(n === 1 ? "man" : n === 2 ? "woman" : "no_gender");
