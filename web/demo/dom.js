// Elements made by hand: text stays text, whatever people call themselves.

import { language, t } from "/demo/words.js";

/** el("a", { href, class, onclick, "aria-label" }, ...children); null children are left out. */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value") node.value = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...there(children));
  return node;
}

export function fill(node, ...children) {
  node.replaceChildren(...there(children));
  return node;
}

const there = (children) =>
  children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);

const drawn = new WeakMap();

/**
 * Builds the children anew only when what they show has changed, and keeps the keyboard where it
 * was: on the element with the same data-key, else on the first one that takes it.
 */
export function refill(node, shows, build) {
  const now = language() + JSON.stringify(shows);
  if (drawn.get(node) === now) return;
  drawn.set(node, now);
  const held = node.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  fill(node, build());
  if (held === null) return;
  const same = held && node.querySelector(`[data-key="${CSS.escape(held)}"]:not(:disabled)`);
  (same || node.querySelector("button:not(:disabled)") || document.getElementById("phone")).focus();
}

/** A click is carried out once, however often it is made before it is done. */
export function button(words, act, { kind = "", key = "", label, disabled } = {}) {
  const node = el("button", { type: "button", class: kind, "data-key": key, "aria-label": label, disabled }, words);
  let busy = false;
  node.addEventListener("click", async () => {
    if (busy) return;
    busy = true;
    node.setAttribute("aria-busy", "true");
    try {
      await act(node);
    } catch (error) {
      say(problem(error), "bad");
    } finally {
      busy = false;
      node.removeAttribute("aria-busy");
    }
  });
  return node;
}

/** What a failure is called: our words for the code, else the server's own sentence. */
export function problem(error) {
  if (error.name === "Unreachable") return t("unreachable");
  if (error.name === "Unanswered") return t("unanswered");
  if (error.name !== "Refused") throw error;
  const known = t(`refused.${error.code}`);
  return known.startsWith("refused.") ? error.message : known;
}

/** A picture's address: ours by its path alone, whatever this server is called today. */
export function ours(address) {
  try {
    const url = new URL(address, location.href);
    if (url.pathname.startsWith("/static/")) return url.pathname;
    return url.protocol === "https:" || url.origin === location.origin ? url.href : "";
  } catch (error) {
    return "";
  }
}

/** A face or a gift; the first letter where there is no picture, or it does not load. */
export function picture(address, name, kind = "face") {
  const letter = el("span", { class: `${kind} letter`, "aria-hidden": "true" }, [...(name || "?")][0]);
  const found = address && ours(address);
  if (!found) return letter;
  const image = el("img", { class: kind, src: found, alt: "" });
  image.addEventListener("error", () => image.replaceWith(letter));
  return image;
}

/** A sheet over the phone; closes by its button, by Escape, or by a click beside it. */
export function sheet(title, { kind = "", onclose } = {}, ...children) {
  const heading = el("h2", { id: "sheet-title" }, title);
  const close = button("×", () => dialog.close(), { kind: "round", label: t("close") });
  const dialog = el(
    "dialog",
    { class: `sheet ${kind}`, "aria-labelledby": "sheet-title" },
    el("div", { class: "sheet-head" }, heading, close),
    el("div", { class: "sheet-body" }, children),
  );
  for (const open of document.querySelectorAll("dialog")) open.close();
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => {
    const said = dialog.querySelector("#said");
    dialog.remove();
    // Its time is not over: it goes on in front of whatever is there now, if nothing newer does.
    if (said && !document.getElementById("said")) place().append(said);
    if (onclose) onclose();
  });
  document.getElementById("phone").append(dialog);
  dialog.showModal();
  return dialog;
}

let standing;

const place = () => document.querySelector("dialog[open]") || document.getElementById("phone");

/** A sentence that stays for some seconds and is read out, in front of an open sheet too. */
export function say(words, kind = "good") {
  document.getElementById("said")?.remove();
  const said = el("p", { id: "said", class: kind, role: kind === "bad" ? "alert" : "status" });
  place().append(said);
  said.textContent = words;
  clearTimeout(standing);
  standing = setTimeout(() => said.remove(), 5000);
}
