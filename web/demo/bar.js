// The top bar of every page: back button, title, gold balance and language switch.

import { button, el } from "/demo/shared/dom.js";
import { openRecharge } from "/demo/recharge.js";
import { t } from "/demo/i18n.js";

export const languageSwitch = (app) =>
  button(t("other_language"), () => app.switchLanguage(), { kind: "quiet", key: "language" });

/** For narrow screens, where the panel covers the page. */
export const panelSwitch = () =>
  button("{ }", () => document.body.classList.toggle("panel-open"), {
    kind: "quiet only-narrow",
    key: "panel",
    label: t("panel"),
  });

const balance = (gold, income) => [
  el("i", { class: "coin", "aria-hidden": "true" }),
  el("b", {}, String(gold)),
  income > 0 && el("small", {}, `+${income}`),
];

/** `back` is a button or null; `title` is the content beside it. */
export function bar(app, back, title) {
  const { me } = app;
  const { gold, income } = me || {};
  return el(
    "header",
    { class: "bar" },
    back,
    el("div", { class: "bar-title" }, title),
    me &&
      button(balance(gold, income), () => openRecharge(app), {
        kind: "gold",
        key: "gold",
        label: t(income > 0 ? "purse_button" : "gold_button", { gold, income }),
      }),
    languageSwitch(app),
    panelSwitch(),
  );
}
