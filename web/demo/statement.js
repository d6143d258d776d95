// Statement of gold or income: every entry with the balance after it, newest first, page by page.

import { openDialog, tabRow } from "/demo/dom.js";
import { button, el, fill } from "/demo/shared/dom.js";
import { t } from "/demo/i18n.js";

export async function openStatement(app, unit) {
  const list = el("ol", { class: "statement", "aria-live": "polite" });
  const more = el("div", { class: "older" });
  const titles = { gold: t("statement.gold"), income: t("statement.income") };
  const tabs = tabRow(t("statement"), titles, show);

  /** A page of a unit, below its earlier pages. */
  async function show(name, isShown, page = 1) {
    const statement = await app.qlive.statement({ unit: name, page });
    if (!isShown()) return;
    if (page === 1) fill(list);
    list.append(...statement.results.map(row));
    if (!list.children.length) fill(list, el("li", { class: "empty" }, t("statement.none")));
    fill(more, statement.has_more && button(t("statement.more"), () => show(name, isShown, page + 1), { key: "more" }));
  }

  await tabs.open(unit);
  openDialog(t("statement"), {}, tabs.row, list, more);
}

function row({ time, what, who, amount, balance }) {
  const direction = what === "gift" ? (amount < 0 ? "gift_to" : "gift_from") : what;
  const name = who ? who.nickname || t("nameless") : "";
  return el("li", {},
    el("span", { class: "grows" }, t(`statement.what.${direction}`, { name }), el("small", {}, time.replace("T", " "))),
    el("span", {}, el("b", {}, amount > 0 ? `+${amount}` : String(amount)), el("small", {}, t("statement.balance", { balance }))));
}
