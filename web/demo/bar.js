// The strip at the top of every page: the way back, a title, one's gold, the language.

import { button, el } from "/demo/dom.js";
import { openRecharge } from "/demo/recharge.js";
import { t } from "/demo/words.js";

export const languageSwitch = (app) =>
  button(t("other_language"), () => app.speakOther(), { kind: "quiet", key: "language" });

/** For narrow screens, where the panel stands over the page. */
export const panelSwitch = () =>
  button("{ }", () => document.body.classList.toggle("panel-open"), {
    kind: "quiet only-narrow",
    key: "panel",
    label: t("panel"),
  });

const purse = (gold, income) => [
  el("i", { class: "coin", "aria-hidden": "true" }),
  el("b", {}, String(gold)),
  income > 0 && el("small", {}, `+${income}`),
];

/** `back` is a button or nothing; `title` whatever stands beside it. */
export function bar(app, back, title) {
  const { me } = app;
  const { gold, income } = me || {};
  return el(
    "header",
    { class: "bar" },
    back,
    el("div", { class: "bar-title" }, title),
    me &&
      button(purse(gold, income), () => openRecharge(app), {
        kind: "gold",
        key: "gold",
        label: t(income > 0 ? "purse_button" : "gold_button", { gold, income }),
      }),
    languageSwitch(app),
    panelSwitch(),
  );
}
