// Texts of a page in two languages: Chinese by default, English by the language switch.

/** `texts`: [Chinese, English] by key; the user's choice is stored under `storageKey`. */
export function createI18n(storageKey, texts) {
  let current = localStorage.getItem(storageKey) === "en" ? "en" : "zh";

  function setLanguage(code) {
    current = code === "en" ? "en" : "zh";
    localStorage.setItem(storageKey, current);
    document.documentElement.lang = current === "en" ? "en" : "zh-CN";
  }

  /** Text of a key with {placeholders} and {n|order|orders} replaced; an unknown key is returned as is. */
  function t(key, values = {}) {
    if (!texts[key]) return key;
    return texts[key][current === "en" ? 1 : 0].replace(/\{(\w+)(?:\|([^|}]*)\|([^}]*))?\}/g, (_, name, one, many) =>
      one === undefined ? values[name] ?? "" : String(values[name]) === "1" ? one : many);
  }

  /** Translation of a server code, such as a state or a reason; an unknown code is returned as is. */
  const codeText = (kind, code) => (texts[`${kind}.${code}`] ? t(`${kind}.${code}`) : code || "–");

  return { language: () => current, setLanguage, t, codeText };
}
