// Formats of numbers and times.

import { language, t } from "/ops/i18n.js";

export const formatInteger = (n) => (n ?? null) === null ? "–" : Number(n).toLocaleString("en-US");

/** Number with three significant digits; an integer from 10 000. */
export function formatNumber(n) {
  if ((n ?? null) === null || Number.isNaN(n)) return "–";
  if (Math.abs(n) >= 10000) return Math.round(n).toLocaleString("en-US");
  return String(Number(n.toPrecision(3)));
}

export const formatYuan = (fen) =>
  `¥${(fen / 100).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;

const twoDigits = (n) => String(n).padStart(2, "0");

export function formatTime(moment) {
  const at = new Date(moment);
  return `${twoDigits(at.getHours())}:${twoDigits(at.getMinutes())}:${twoDigits(at.getSeconds())}`;
}

/** Local time, like 11-25 13:08:52; with the year if it is not the current one. */
export function formatDateTime(moment) {
  if (!moment) return "–";
  const at = new Date(moment);
  const year = at.getFullYear() === new Date().getFullYear() ? "" : `${at.getFullYear()}-`;
  return `${year}${twoDigits(at.getMonth() + 1)}-${twoDigits(at.getDate())} ${formatTime(at)}`;
}

/** Duration in its two largest units. */
export function formatDuration(seconds) {
  const total = Math.max(0, Math.round(seconds));
  const units = language() === "zh" ? ["天", "时", "分", "秒"] : ["d", "h", "m", "s"];
  const parts = [Math.floor(total / 86400), Math.floor(total / 3600) % 24, Math.floor(total / 60) % 60, total % 60];
  const first = parts.findIndex((part) => part > 0);
  if (first < 0) return `0${units[3]}`;
  return parts
    .map((part, i) => (i >= first && i < first + 2 && part ? `${part}${units[i]}` : ""))
    .filter(Boolean)
    .join(" ");
}

export const genderText = (n) => t(n === 1 ? "man" : n === 2 ? "woman" : "no_gender");
