// A long list: a search above it, one page at a time, by the server's cursor or on its own.

import { button, el, fill, say } from "/ops/dom.js";
import { t } from "/ops/i18n.js";

/**
 * list({ label, columns: [{ head, cell(row), kind }], load(query, after) → {items, next},
 *        filters: [node-makers from search(), choice(), tick()], empty })
 * Answers { node, again }.
 */
export function list({ label, columns, load, filters = [], empty }) {
  const body = el("tbody");
  const heads = columns.map((column) => el("th", { scope: "col", class: column.kind ?? "" }, column.head));
  const table = el("table", {}, el("caption", { class: "unseen" }, label), el("thead", {}, el("tr", {}, heads)), body);
  const count = el("span", { class: "count", role: "status" });
  const back = button(t("page_back"), () => { cursors.pop(); show(); });
  const on = button(t("page_on"), () => { cursors.push(next); show(); });
  let cursors = [""];
  let next = null;
  let asked = 0;
  const wanted = Object.fromEntries(filters.map((filter) => [filter.name, filter.value]));

  async function show() {
    const mine = ++asked;
    table.setAttribute("aria-busy", "true");
    try {
      const page = await load(wanted, cursors.at(-1));
      if (mine !== asked) return;
      next = page.next;
      fill(body, page.items.length ? page.items.map(line) : nothing());
      fill(count, t("page_of", { page: cursors.length, n: page.items.length }));
      [back.disabled, on.disabled] = [cursors.length === 1, next === null];
    } catch (no) {
      if (no.status !== 401) say(no.message, "bad");
    } finally {
      table.removeAttribute("aria-busy");
    }
  }

  const nothing = () => el("tr", {}, el("td", { colspan: columns.length, class: "empty" }, empty ?? t("empty")));
  const line = (row) =>
    el("tr", {}, columns.map((column) => el("td", { class: column.kind ?? "" }, column.cell(row))));
  const changed = (name, value) => { wanted[name] = value; cursors = [""]; show(); };
  const asks = filters.length ? el("div", { class: "filters", role: "search" }, filters.map((f) => f.node(changed))) : null;
  const pager = el("nav", { class: "pager", "aria-label": t("pages") }, count, back, on);
  const sheet = el("div", { class: "sheet", tabindex: "0", role: "region", "aria-label": label }, table);
  show();
  return { node: el("div", { class: "list" }, asks, sheet, pager), again: show };
}

/** A list that the server gives in one piece is searched and paged here. */
export function whole(read, has, size = 20) {
  return async (wanted, after) => {
    const rows = (await read()).items.filter((row) => has(row, wanted));
    const from = Number(after || 0);
    return { items: rows.slice(from, from + size), next: from + size < rows.length ? String(from + size) : null };
  };
}

/** Looks once typing rests. */
export function search(name, label, value = "") {
  const node = (changed) => {
    let resting;
    const look = (event) => {
      clearTimeout(resting);
      resting = setTimeout(() => changed(name, event.target.value.trim()), 250);
    };
    return el("input", { type: "search", "aria-label": label, placeholder: label, value, oninput: look });
  };
  return { name, value, node };
}

/** choices: [[value, words]]. */
export function choice(name, label, choices, value = "") {
  const node = (changed) => {
    const options = choices.map(([key, words]) => el("option", { value: key, selected: key === value }, words));
    return el("select", { "aria-label": label, onchange: (event) => changed(name, event.target.value) }, options);
  };
  return { name, value, node };
}

export function tick(name, label, value = false) {
  const node = (changed) => {
    const box = el("input", { type: "checkbox", checked: value, onchange: (event) => changed(name, event.target.checked) });
    return el("label", { class: "tick" }, box, label);
  };
  return { name, value, node };
}
