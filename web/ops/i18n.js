// Translations; Chinese by default, English by the language switch.

import { words } from "/ops/translations.js";

const STORAGE_KEY = "qlive.ops.language";
let current = localStorage.getItem(STORAGE_KEY) === "en" ? "en" : "zh";

export const language = () => current;

export function speak(code) {
  current = code === "en" ? "en" : "zh";
  localStorage.setItem(STORAGE_KEY, current);
  document.documentElement.lang = current === "en" ? "en" : "zh-CN";
}

/** Text of a key with {placeholders} and {n|order|orders} replaced; an unknown key is returned as is. */
export function t(key, values = {}) {
  const texts = words[key];
  if (!texts) return key;
  return texts[current === "en" ? 1 : 0].replace(/\{(\w+)(?:\|([^|}]*)\|([^}]*))?\}/g, (_, name, one, many) =>
    one === undefined ? values[name] ?? "" : String(values[name]) === "1" ? one : many);
}

/** Translation of a server code, such as a state or a reason; an unknown code is returned as is. */
export const codeText = (kind, code) => (words[`${kind}.${code}`] ? t(`${kind}.${code}`) : code || "–");
