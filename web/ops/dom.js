// Elements made by hand: text stays text, whatever people call themselves.

import { t } from "/ops/i18n.js";

/** el("a", { href, class, onclick, "aria-label" }, ...children); null children are left out. */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value") node.value = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

/** The children take the place of what was there. */
export function fill(node, ...children) {
  node.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

export const button = (words, onclick, kind = "") =>
  el("button", { type: "button", class: kind, onclick }, words);

/** A state as a coloured dot with its word: good, warn, bad or still. */
export const state = (kind, words) =>
  el("span", { class: `state ${kind}` }, el("i", { "aria-hidden": "true" }), words);

/** A picture, or the first letter where there is none or it does not load. */
export function picture(address, name, kind = "face") {
  const letter = el("span", { class: `${kind} letter`, "aria-hidden": "true" }, [...(name || "?")][0]);
  if (!/^(https?:\/\/|\/)/.test(address || "")) return letter;
  const image = el("img", { class: kind, src: address, alt: "", loading: "lazy" });
  image.addEventListener("error", () => image.replaceWith(letter));
  return image;
}

/** Who somebody is, as a link to their page. */
export const person = (who) =>
  el(
    "a",
    { class: "person", href: `#/people/${who.user_id ?? who.id}` },
    picture(who.face_url, who.nickname),
    el("span", {}, who.nickname || t("nameless"), el("small", {}, who.user_id ?? who.id)),
  );

export const card = (title, ...children) =>
  el("section", { class: "card" }, title ? el("h2", {}, title) : null, ...children);

/** A table that moves sideways where there is no room for it. */
export const sheet = (label, heads, lines) =>
  el("div", { class: "sheet", tabindex: "0", role: "region", "aria-label": label },
    el("table", {}, el("caption", { class: "unseen" }, label),
      el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, lines)));

/** Pairs of a word and what stands behind it. */
export const facts = (pairs) =>
  el("dl", { class: "facts" }, pairs.map(([word, value]) => [el("dt", {}, word), el("dd", {}, value)]));

let standing;
/** A sentence that stays for some seconds and is read out. */
export function say(words, kind = "good") {
  const place = document.getElementById("said");
  if (!place) return;
  fill(place, el("p", { class: `said ${kind}` }, words));
  clearTimeout(standing);
  standing = setTimeout(() => fill(place), 6000);
}
