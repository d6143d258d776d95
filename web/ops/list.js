// List with filters, shown one page at a time; pages come from the server's cursor or are local.

import { button, checkbox, el, fill } from "/ops/shared/dom.js";
import { showToast } from "/ops/shared/toast.js";
import { t } from "/ops/i18n.js";

/**
 * list({ label, columns: [{ head, cell(row), kind }], load(filterValues, after) → {items, next},
 *        filters: [searchFilter(), choiceFilter(), checkboxFilter()], empty,
 *        refreshMs: interval of automatic refreshes,
 *        query: URL parameters; filter values are read from and stored in the URL })
 *
 * Returns { node, reload, refresh, stop }: `reload` always requests the page again, `refresh` not
 * while the list has the focus, a dialog is open or the tab is hidden.
 */
export function list({ label, columns, load, filters = [], empty, refreshMs, query }) {
  const body = el("tbody");
  const heads = columns.map((column) => el("th", { scope: "col", class: column.kind ?? "" }, column.head));
  const table = el("table", {}, el("caption", { class: "visually-hidden" }, label), el("thead", {}, el("tr", {}, heads)), body);
  const count = el("span", { class: "count", role: "status" });
  const backButton = button(t("page_back"), () => changePage(cursors.length > 1, () => cursors.pop()));
  const nextButton = button(t("page_on"), () => changePage(next !== null, () => cursors.push(next)));
  const filterValues = Object.fromEntries(filters.map((filter) => [filter.name, initialValue(filter, query)]));
  let cursors = (query && history.state?.cursors) || [""];
  let next = null;
  let requestCount = 0;

  /** Resets `next` until the page has loaded: a second click would push the same cursor again. */
  function changePage(possible, step) {
    if (!possible) return;
    step();
    next = null;
    showPage();
  }

  async function showPage() {
    const requestNumber = ++requestCount;
    if (query && table.isConnected) storeInHistory(filters, filterValues, cursors);
    table.setAttribute("aria-busy", "true");
    try {
      const page = await load(filterValues, cursors.at(-1));
      if (requestNumber !== requestCount) return;
      draw(page.items.length ? page.items.map(tableRow) : messageRow(empty ?? t("empty")), page.next);
      fill(count, t("page_of", { page: cursors.length, n: page.items.length }));
    } catch (error) {
      if (requestNumber !== requestCount || error.status === 401) return;
      draw(messageRow(error.message), null); // the old rows do not match the new filters
      fill(count);
      showToast(error.message, "bad");
    } finally {
      if (requestNumber === requestCount) table.removeAttribute("aria-busy");
    }
  }

  function draw(tableRows, nextCursor) {
    next = nextCursor;
    fill(body, tableRows);
    [backButton.disabled, nextButton.disabled] = [cursors.length === 1, next === null];
    if (nextButton.disabled && document.activeElement === nextButton) backButton.focus(); // otherwise the keyboard focus is lost
    if (backButton.disabled && document.activeElement === backButton) nextButton.focus();
  }

  const messageRow = (message) => el("tr", {}, el("td", { colspan: columns.length, class: "empty" }, message));
  const tableRow = (row) =>
    el("tr", {}, columns.map((column) => el("td", { class: column.kind ?? "" }, column.cell(row))));
  const onFilterChange = (name, value) => {
    if (!table.isConnected) return; // typed just before leaving the page
    filterValues[name] = value;
    changePage(true, () => { cursors = [""]; });
  };
  const fields = filters.map((filter) => filter.node(onFilterChange, filterValues[filter.name]));
  const filterBar = filters.length ? el("div", { class: "filters", role: "search" }, fields) : null;
  const pager = el("nav", { class: "pager", "aria-label": t("pages") }, count, backButton, nextButton);
  const scroller = el("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": label }, table);
  const isInUse = () => document.hidden || body.contains(document.activeElement) || document.querySelector("dialog[open]");
  const refresh = () => isInUse() || showPage();
  const timer = refreshMs && setInterval(refresh, refreshMs);
  showPage();
  return { node: el("div", { class: "list" }, filterBar, scroller, pager), reload: showPage, refresh, stop: () => clearInterval(timer) };
}

/** Value of a filter in the URL, else its default. */
function initialValue({ name, value }, query) {
  const text = query?.get(name) ?? null;
  if (text === null) return value;
  return typeof value === "boolean" ? text === "true" : text;
}

/** Stores the filter values in the URL, and the cursors in the browser's history. */
function storeInHistory(filters, filterValues, cursors) {
  const changed = filters.map(({ name, value }) => [name, value, filterValues[name]]).filter(([, defaultValue, now]) => now !== defaultValue);
  const text = new URLSearchParams(changed.map(([name, , now]) => [name, now])).toString();
  const [page] = location.hash.split("?");
  history.replaceState({ ...history.state, cursors }, "", text ? `${page}?${text}` : page);
}

/** Filters and pages a list that the server returns as a whole. */
export function localPages(fetchAll, matches, size = 20) {
  return async (filterValues, after) => {
    const rows = (await fetchAll()).items.filter((row) => matches(row, filterValues));
    const from = Number(after || 0);
    return { items: rows.slice(from, from + size), next: from + size < rows.length ? String(from + size) : null };
  };
}

/** Text filter, applied 250 ms after the last input. */
export function searchFilter(name, label) {
  const node = (onChange, value) => {
    let timer;
    const onInput = (event) => {
      clearTimeout(timer);
      timer = setTimeout(() => onChange(name, event.target.value.trim()), 250);
    };
    return el("input", { type: "search", "aria-label": label, placeholder: label, value, oninput: onInput });
  };
  return { name, value: "", node };
}

/** choices: [[value, label]]; `value` is the default. */
export function choiceFilter(name, label, choices, value = "") {
  const node = (onChange, chosen) => {
    const options = choices.map(([key, text]) => el("option", { value: key, selected: key === chosen }, text));
    return el("select", { "aria-label": label, onchange: (event) => onChange(name, event.target.value) }, options);
  };
  return { name, value, node };
}

export function checkboxFilter(name, label, value = false) {
  const node = (onChange, checked) =>
    checkbox(label, { checked, onchange: (event) => onChange(name, event.target.checked) });
  return { name, value, node };
}
