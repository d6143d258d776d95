// Translations; Chinese by default, English by the language switch.

import { words } from "/demo/translations.js";

const STORAGE_KEY = "qlive.demo.language";
let current = localStorage.getItem(STORAGE_KEY) === "en" ? "en" : "zh";

export const language = () => current;

export function setLanguage(code) {
  current = code;
  localStorage.setItem(STORAGE_KEY, current);
  document.documentElement.lang = current === "en" ? "en" : "zh-CN";
}

/** Text of a key with {placeholders} replaced; unknown keys are returned as is, gifts as their name. */
export function t(key, values = {}) {
  const texts = words[key];
  if (!texts) return key.startsWith("gift.") ? key.slice(5) : key;
  return texts[current === "en" ? 1 : 0].replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}
