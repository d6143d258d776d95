// Which language is spoken: Chinese first, English by the switch.

import { words } from "/ops/words.js";

const KEPT = "qlive.ops.language";
let spoken = localStorage.getItem(KEPT) === "en" ? "en" : "zh";

export const language = () => spoken;

export function speak(code) {
  spoken = code === "en" ? "en" : "zh";
  localStorage.setItem(KEPT, spoken);
  document.documentElement.lang = spoken === "en" ? "en" : "zh-CN";
}

/** The words of a key, with {names} put in; a key without words is shown as it is. */
export function t(key, values = {}) {
  const pair = words[key];
  if (!pair) return key;
  return pair[spoken === "en" ? 1 : 0].replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** A word of the server (a state, a reason): ours when we have one, else as it came. */
export const word = (kind, said) => (words[`${kind}.${said}`] ? t(`${kind}.${said}`) : said || "–");
