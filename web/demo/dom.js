// Parts that the demo's pages share, beside those of shared/dom.js.

import { button, el, fill, picture as anyPicture } from "/demo/shared/dom.js";
import { removeDialog } from "/demo/shared/toast.js";
import { language, t } from "/demo/i18n.js";

const renderedState = new WeakMap();

/**
 * Rebuilds the children only if `state` or the language has changed, and restores the focus:
 * to the element with the same data-key, else to the first button.
 */
export function renderIfChanged(node, state, build) {
  const now = language() + JSON.stringify(state);
  if (renderedState.get(node) === now) return;
  renderedState.set(node, now);
  const focused = node.contains(document.activeElement) ? document.activeElement : null;
  fill(node, build());
  if (!focused) return;
  const { key } = focused.dataset;
  const sameButton = key && node.querySelector(`[data-key="${CSS.escape(key)}"]:not(:disabled)`);
  (sameButton || node.querySelector("button:not(:disabled)") || document.getElementById("phone")).focus();
}

/**
 * Image URL that is safe to load, else "".
 *
 * URLs of this server are reduced to their path: its host name may have changed since.
 */
export function safeImageUrl(address) {
  if (!address) return "";
  try {
    const url = new URL(address, location.href);
    if (/^\/(static|sim\/cos)\//.test(url.pathname)) return url.pathname;
    return url.protocol === "https:" || url.origin === location.origin ? url.href : "";
  } catch (error) {
    return "";
  }
}

/** An avatar or a gift image; the first letter of the name if it is missing or fails to load. */
export const picture = (address, name, kind) => anyPicture(safeImageUrl(address), name, kind);

/** Radio buttons for one of several values, labelled by what they show. */
export function radioGroup(title, name, values, render, choose) {
  const option = (value, n) =>
    el("label", {}, el("input", { type: "radio", name, checked: n === 0, onchange: choose(name, value) }), render(value));
  return el("fieldset", { class: `choice of-${name}` }, el("legend", {}, title), el("div", {}, values.map(option)));
}

/**
 * Tabs above one list; `titles` are by name. `show(name, isShown)` loads and draws the list of a tab;
 * `isShown()` is false as soon as another press follows. No press waits for the answer to an earlier one.
 */
export function tabRow(label, titles, show) {
  let shown = 0;
  function open(name) {
    const number = ++shown;
    for (const tab of row.children) tab.setAttribute("aria-pressed", String(tab.dataset.key === name));
    return show(name, () => number === shown);
  }
  const tab = ([name, title]) => button(title, () => void open(name), { kind: "tab", key: name });
  const row = el("div", { class: "tabs", role: "group", "aria-label": label }, Object.entries(titles).map(tab));
  return { row, open };
}

/** Opens a modal dialog at the bottom; closed by its button, by Escape or by a click outside it. */
export function openDialog(title, { kind = "", onclose } = {}, ...children) {
  const heading = el("h2", { id: "dialog-title" }, title);
  const close = button("×", () => dialog.close(), { kind: "round", label: t("close") });
  const dialog = el(
    "dialog",
    { class: `dialog ${kind}`, "aria-labelledby": "dialog-title" },
    el("div", { class: "dialog-head" }, heading, close),
    el("div", { class: "dialog-body" }, children),
  );
  for (const open of document.querySelectorAll("dialog")) open.close();
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => {
    removeDialog(dialog);
    if (onclose) onclose();
  });
  document.getElementById("phone").append(dialog);
  dialog.showModal();
  return dialog;
}
