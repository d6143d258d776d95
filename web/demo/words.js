// Every word that is shown, Chinese first; English by the switch.

import { words } from "/demo/table.js";

const KEPT = "qlive.demo.language";
let spoken = localStorage.getItem(KEPT) === "en" ? "en" : "zh";

export const language = () => spoken;

export function speak(code) {
  spoken = code;
  localStorage.setItem(KEPT, spoken);
  document.documentElement.lang = spoken === "en" ? "en" : "zh-CN";
}

/** The words of a key, with {names} put in; a key without words is shown as its last part. */
export function t(key, values = {}) {
  const pair = words[key];
  if (!pair) return key.startsWith("gift.") ? key.slice(5) : key;
  return pair[spoken === "en" ? 1 : 0].replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}
