// Messages that disappear by themselves, and the errors that nothing else handles.

import { el } from "./dom.js";

const SHOWN_MS = 6000;
let timer;

/** In an open dialog, because the page behind it is inert; else in the page's element for toasts, if any. */
const parentNode = () => document.querySelector("dialog[open]") ?? document.querySelector("[data-toasts]");

/** Shows a message for six seconds and announces it; `kind` is good or bad, `action` a button beside it. */
export function showToast(text, kind = "good", action = null) {
  document.querySelector(".toast")?.remove();
  const toast = el("p", { class: `toast ${kind}`, role: kind === "bad" ? "alert" : "status" });
  parentNode()?.append(toast);
  toast.textContent = text; // announced, because the element is already in the page
  if (action) toast.append(" ", action);
  clearTimeout(timer);
  timer = setTimeout(() => toast.remove(), SHOWN_MS);
}

/** Removes a closed dialog; a toast in it moves to the page, unless there is a newer one. */
export function removeDialog(dialog) {
  const toast = dialog.querySelector(".toast");
  dialog.remove();
  if (toast && !document.querySelector(".toast")) parentNode()?.append(toast);
}

/**
 * Shows every error that no code handles as a toast.
 *
 * `textOf(error)` is its text; "" if the user has seen it already, null for an error of the page
 * itself, which is left to the browser.
 */
export function toastErrors(textOf) {
  addEventListener("unhandledrejection", (event) => {
    const text = textOf(event.reason);
    if (text === null) return;
    event.preventDefault();
    if (text) showToast(text, "bad");
  });
}
