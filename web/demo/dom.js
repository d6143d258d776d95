// DOM helpers. Elements are created by code, so text from users is never parsed as HTML.

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
  node.append(...present(children));
  return node;
}

export function fill(node, ...children) {
  node.replaceChildren(...present(children));
  return node;
}

const present = (children) =>
  children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);

const renderedState = new WeakMap();

/**
 * Rebuilds the children only if `state` or the language has changed, and restores the focus:
 * to the element with the same data-key, else to the first button.
 */
export function renderIfChanged(node, state, build) {
  const now = language() + JSON.stringify(state);
  if (renderedState.get(node) === now) return;
  renderedState.set(node, now);
  const focusedKey = node.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  fill(node, build());
  if (focusedKey === null) return;
  const sameButton = focusedKey && node.querySelector(`[data-key="${CSS.escape(focusedKey)}"]:not(:disabled)`);
  (sameButton || node.querySelector("button:not(:disabled)") || document.getElementById("phone")).focus();
}

/** A button that ignores clicks while its previous action is running. */
export function button(text, onClick, { kind = "", key = "", label, disabled } = {}) {
  const node = el("button", { type: "button", class: kind, "data-key": key, "aria-label": label, disabled }, text);
  let busy = false;
  node.addEventListener("click", async () => {
    if (busy) return;
    busy = true;
    node.setAttribute("aria-busy", "true");
    try {
      await onClick(node);
    } catch (error) {
      showToast(errorText(error), "bad");
    } finally {
      busy = false;
      node.removeAttribute("aria-busy");
    }
  });
  return node;
}

/** Text of an error: the translation of its code, else the server's message. */
export function errorText(error) {
  if (error.name === "Unreachable") return t("unreachable");
  if (error.name === "Unanswered") return t("unanswered");
  if (error.name === "UploadFailed") return t(`upload_failed.${error.code}`);
  if (error.name === "ChatFailed") return t("chat_failed", { code: error.code });
  if (error.name !== "Refused") throw error;
  const translation = t(`refused.${error.code}`);
  return translation.startsWith("refused.") ? error.message : translation;
}

/**
 * Image URL that is safe to load, else "".
 *
 * URLs of this server are reduced to their path: its host name may have changed since.
 */
export function safeImageUrl(address) {
  try {
    const url = new URL(address, location.href);
    if (/^\/(static|sim\/cos)\//.test(url.pathname)) return url.pathname;
    return url.protocol === "https:" || url.origin === location.origin ? url.href : "";
  } catch (error) {
    return "";
  }
}

/** An avatar or a gift image; the first letter of the name if it is missing or fails to load. */
export function picture(address, name, kind = "face") {
  const letter = el("span", { class: `${kind} letter`, "aria-hidden": "true" }, [...(name || "?")][0]);
  const url = address && safeImageUrl(address);
  if (!url) return letter;
  const image = el("img", { class: kind, src: url, alt: "" });
  image.addEventListener("error", () => image.replaceWith(letter));
  return image;
}

/** Radio buttons for one of several values, labelled by what they show. */
export function radioGroup(title, name, values, render, choose) {
  const option = (value, n) =>
    el("label", {}, el("input", { type: "radio", name, checked: n === 0, onchange: choose(name, value) }), render(value));
  return el("fieldset", { class: `choice of-${name}` }, el("legend", {}, title), el("div", {}, values.map(option)));
}

/** Modal bottom sheet; closed by its button, by Escape or by a click outside it. */
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
    const toast = dialog.querySelector("#said");
    dialog.remove();
    // Move an unexpired toast to the parent that is visible now, unless there is a newer one.
    if (toast && !document.getElementById("said")) toastParent().append(toast);
    if (onclose) onclose();
  });
  document.getElementById("phone").append(dialog);
  dialog.showModal();
  return dialog;
}

let toastTimer;

const toastParent = () => document.querySelector("dialog[open]") || document.getElementById("phone");

/** Shows a message for five seconds and announces it; above an open sheet, too. */
export function showToast(text, kind = "good") {
  document.getElementById("said")?.remove();
  const toast = el("p", { id: "said", class: kind, role: kind === "bad" ? "alert" : "status" });
  toastParent().append(toast);
  toast.textContent = text;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => toast.remove(), 5000);
}
