// DOM helpers. Elements are created by code, so text from users is never parsed as HTML.

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

/** Replaces the children of a node. */
export function fill(node, ...children) {
  node.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

export const button = (text, onclick, kind = "") =>
  el("button", { type: "button", class: kind, onclick }, text);

/** Coloured dot with a label; kind is good, warn, bad or still. */
export const statusDot = (kind, text) =>
  el("span", { class: `state ${kind}` }, el("i", { "aria-hidden": "true" }), text);

/** Image, or the first letter of the name if it is missing or fails to load. */
export function picture(address, name, kind = "face") {
  const letter = el("span", { class: `${kind} letter`, "aria-hidden": "true" }, [...(name || "?")][0]);
  if (!/^(https?:\/\/|\/)/.test(address || "")) return letter;
  const image = el("img", { class: kind, src: address, alt: "", loading: "lazy" });
  image.addEventListener("error", () => image.replaceWith(letter));
  return image;
}

/** Link to the page of a user. */
export const userLink = (user) =>
  el(
    "a",
    { class: "person", href: `#/people/${user.user_id ?? user.id}` },
    picture(user.face_url, user.nickname),
    el("span", {}, user.nickname || t("nameless"), el("small", {}, user.user_id ?? user.id)),
  );

export const card = (title, ...children) =>
  el("section", { class: "card" }, title ? el("h2", {}, title) : null, ...children);

/** A figure with its label and a note below. */
export const tile = (label, value, note, kind = "") =>
  el("div", { class: `tile ${kind}` }, el("span", {}, label), el("b", {}, value), el("small", {}, note ?? ""));

/** Table that scrolls sideways if it is too wide; a heading is a text or [text, class]. */
export const scrollTable = (label, headings, rows) =>
  el("div", { class: "sheet", tabindex: "0", role: "region", "aria-label": label },
    el("table", {}, el("caption", { class: "unseen" }, label),
      el("thead", {}, el("tr", {}, headings.map((heading) => [heading].flat()).map(([text, kind]) => el("th", { scope: "col", class: kind }, text)))),
      el("tbody", {}, rows)));

/** Definition list of [term, value] pairs. */
export const definitionList = (pairs) =>
  el("dl", { class: "facts" }, pairs.map(([term, value]) => [el("dt", {}, term), el("dd", {}, value)]));

let toastTimer;
/** Shows a message for six seconds and announces it. */
export function showToast(text, kind = "good") {
  const container = document.getElementById("said");
  if (!container) return;
  fill(container, el("p", { class: `said ${kind}` }, text));
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => fill(container), 6000);
}
