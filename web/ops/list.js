// A long list: a search above it, one page at a time, by the server's cursor or on its own.

import { button, el, fill, say } from "/ops/dom.js";
import { t } from "/ops/i18n.js";

/**
 * list({ label, columns: [{ head, cell(row), kind }], load(query, after) → {items, next},
 *        filters: [node-makers from search(), choice(), tick()], empty,
 *        every: milliseconds after which it looks again by itself,
 *        query: the one in the address, in which what is searched for is kept })
 * Answers { node, again, look, stop }: `again` always asks again, `look` not while it would take
 * a row from under somebody's hands.
 */
export function list({ label, columns, load, filters = [], empty, every, query }) {
  const body = el("tbody");
  const heads = columns.map((column) => el("th", { scope: "col", class: column.kind ?? "" }, column.head));
  const table = el("table", {}, el("caption", { class: "unseen" }, label), el("thead", {}, el("tr", {}, heads)), body);
  const count = el("span", { class: "count", role: "status" });
  const back = button(t("page_back"), () => turn(cursors.length > 1, () => cursors.pop()));
  const on = button(t("page_on"), () => turn(next !== null, () => cursors.push(next)));
  const wanted = Object.fromEntries(filters.map((one) => [one.name, given(one, query)]));
  let cursors = (query && history.state?.cursors) || [""];
  let next = null;
  let asked = 0;

  /** Nothing is next until the page has come: a second click would push the same cursor again. */
  function turn(possible, step) {
    if (!possible) return;
    step();
    next = null;
    show();
  }

  async function show() {
    const mine = ++asked;
    if (query && table.isConnected) keep(filters, wanted, cursors);
    table.setAttribute("aria-busy", "true");
    try {
      const page = await load(wanted, cursors.at(-1));
      if (mine !== asked) return;
      draw(page.items.length ? page.items.map(line) : nothing(empty ?? t("empty")), page.next);
      fill(count, t("page_of", { page: cursors.length, n: page.items.length }));
    } catch (no) {
      if (mine !== asked || no.status === 401) return;
      draw(nothing(no.message), null); // what stood there is no answer to what was asked
      fill(count);
      say(no.message, "bad");
    } finally {
      table.removeAttribute("aria-busy");
    }
  }

  function draw(lines, following) {
    next = following;
    fill(body, lines);
    [back.disabled, on.disabled] = [cursors.length === 1, next === null];
    if (on.disabled && document.activeElement === on) back.focus(); // or the keyboard loses its place
    if (back.disabled && document.activeElement === back) on.focus();
  }

  const nothing = (words) => el("tr", {}, el("td", { colspan: columns.length, class: "empty" }, words));
  const line = (row) =>
    el("tr", {}, columns.map((column) => el("td", { class: column.kind ?? "" }, column.cell(row))));
  const changed = (name, value) => {
    if (!table.isConnected) return; // typed just before leaving the page
    wanted[name] = value;
    turn(true, () => { cursors = [""]; });
  };
  const fields = filters.map((one) => one.node(changed, wanted[one.name]));
  const asks = filters.length ? el("div", { class: "filters", role: "search" }, fields) : null;
  const pager = el("nav", { class: "pager", "aria-label": t("pages") }, count, back, on);
  const sheet = el("div", { class: "sheet", tabindex: "0", role: "region", "aria-label": label }, table);
  const rests = () => document.hidden || body.contains(document.activeElement) || document.querySelector("dialog[open]");
  const look = () => rests() || show();
  const timer = every && setInterval(look, every);
  show();
  return { node: el("div", { class: "list" }, asks, sheet, pager), again: show, look, stop: () => clearInterval(timer) };
}

/** What the address says of a filter, else what it begins with. */
function given({ name, value }, query) {
  const said = query?.get(name) ?? null;
  if (said === null) return value;
  return typeof value === "boolean" ? said === "true" : said;
}

/** What is searched for goes into the address, the way to this page into the browser's history. */
function keep(filters, wanted, cursors) {
  const said = filters.map(({ name, value }) => [name, value, wanted[name]]).filter(([, usual, now]) => now !== usual);
  const text = new URLSearchParams(said.map(([name, , now]) => [name, now])).toString();
  const [page] = location.hash.split("?");
  history.replaceState({ ...history.state, cursors }, "", text ? `${page}?${text}` : page);
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
export function search(name, label) {
  const node = (changed, value) => {
    let resting;
    const look = (event) => {
      clearTimeout(resting);
      resting = setTimeout(() => changed(name, event.target.value.trim()), 250);
    };
    return el("input", { type: "search", "aria-label": label, placeholder: label, value, oninput: look });
  };
  return { name, value: "", node };
}

/** choices: [[value, words]]. */
export function choice(name, label, choices) {
  const node = (changed, value) => {
    const options = choices.map(([key, words]) => el("option", { value: key, selected: key === value }, words));
    return el("select", { "aria-label": label, onchange: (event) => changed(name, event.target.value) }, options);
  };
  return { name, value: "", node };
}

export function tick(name, label, value = false) {
  const node = (changed, checked) => {
    const box = el("input", { type: "checkbox", checked, onchange: (event) => changed(name, event.target.checked) });
    return el("label", { class: "tick" }, box, label);
  };
  return { name, value, node };
}
