// Moderation queue: names, pictures, reports and streams, decided with two clicks or with the keyboard.

import { get } from "/ops/api.js";
import { card, definitionList } from "/ops/dom.js";
import { button, el, fill, picture } from "/ops/shared/dom.js";
import { formatDateTime } from "/ops/format.js";
import { codeText, t } from "/ops/i18n.js";
import { choiceFilter, searchFilter } from "/ops/list.js";
import { approve, isPicture, itemCard, itemState, refuse, STATE_KINDS, summary } from "/ops/moderation_item.js";

export const KINDS = ["nickname", "room_name", "face", "cover", "report", "stream"];
const REFRESH_MS = 15_000;

export function moderationPage(container, overviewPoller, _id, query) {
  const filters = { kind: query.get("kind") ?? "", state: query.get("state") ?? "review", user_id: query.get("user_id") ?? "" };
  const tabs = el("nav", { class: "tabs", "aria-label": t("kind") });
  const drawTabs = (open = []) => fill(tabs, ["", ...KINDS, "policy"].map((kind) => {
    const count = open.find((row) => row.kind === kind)?.items;
    return el("a", { href: kind ? `#/moderation?kind=${kind}` : "#/moderation", "aria-current": kind === filters.kind ? "page" : null },
      codeText("item", kind || "any"), count ? el("b", {}, String(count)) : null);
  }));
  drawTabs();
  const unsubscribe = overviewPoller.onOverview((overview) => overview && drawTabs(overview.moderation));
  overviewPoller.poll();
  const body = el("div");
  fill(container, tabs, body);
  const stop = filters.kind === "policy" ? policy(body) : queue(body, filters);
  return () => { unsubscribe(); stop(); };
}

/** The settings by which content is checked, which only their file changes. */
function policy(container) {
  const text = (name, value) => (KINDS.includes(name) ? codeText("policy", value) : codeText("policy_value", String(value)));
  get("moderation/policy")
    .then((answer) => fill(container, card(t("item.policy"), el("p", { class: "note" }, t("policy_note")), definitionList(
      Object.entries(answer.policy).map(([name, value]) => [KINDS.includes(name) ? t(`item.${name}`) : codeText("setting", name), text(name, value)])))))
    .catch((error) => fill(container, el("p", { class: "error", role: "alert" }, error.message)));
  return () => {};
}

function queue(container, filters) {
  const rows = el("ol", { class: "items", "aria-label": t("moderation") });
  const detail = el("div", { class: "item" });
  const more = button(t("more_items"), () => load(next));
  let items = [];
  let next = null;
  let hasMore = false; // pages after the first are shown, which a refresh would remove
  let selected = null;
  let drawn = ""; // what the detail shows
  let requestCount = 0;

  async function load(after = "") {
    const requestNumber = ++requestCount;
    try {
      const page = await get("moderation", { ...filters, after });
      if (requestNumber !== requestCount) return;
      [items, next, hasMore] = [after ? [...items, ...page.items] : page.items, page.next, Boolean(after)];
      if (!items.some(({ id }) => id === selected)) selected = items[0]?.id ?? null;
      draw();
    } catch (error) {
      if (requestNumber === requestCount) throw error;
    }
  }

  function draw() {
    const hadFocus = rows.contains(document.activeElement);
    fill(rows, items.length ? items.map(itemRow) : el("li", { class: "empty" }, t("no_items")));
    if (next) rows.append(el("li", {}, more));
    if (hadFocus) focusSelected();
    drawDetail();
  }

  function drawDetail() {
    const item = items.find(({ id }) => id === selected);
    const state = JSON.stringify(item ?? null);
    if (state === drawn) return; // evidence is read, and audited, once for each look
    drawn = state;
    fill(detail, item ? itemCard(item, decided) : null);
  }

  function itemRow(item) {
    const { text, note } = summary(item);
    return el("li", {}, el("button", { type: "button", class: "pick", "aria-current": item.id === selected ? "true" : null, onclick: () => select(item.id) },
      picture(isPicture(item) ? item.value : item.user?.face_url, item.user?.nickname, isPicture(item) ? "gift" : "face"),
      el("span", { class: "grows" }, text, el("small", {}, note)),
      el("span", {}, item.state === filters.state ? null : itemState(item), el("small", {}, formatDateTime(item.created_at)))));
  }

  const focusSelected = () => rows.querySelector("[aria-current]")?.focus();

  function select(id) {
    selected = id;
    draw();
    focusSelected();
  }

  function move(step) {
    const item = items[items.findIndex(({ id }) => id === selected) + step];
    if (item) select(item.id);
  }

  /** The next item takes the place of one that is decided. */
  async function decided(id) {
    const index = items.findIndex((item) => item.id === id);
    selected = (items[index + 1] ?? items[index - 1])?.id ?? null;
    await load();
    focusSelected();
  }

  const keys = {
    j: () => move(1),
    k: () => move(-1),
    a: (item) => approve(item, decided),
    r: (item) => refuse(item, decided),
  };
  function onKey(event) {
    const isTyping = event.target.closest?.("input, select, textarea, dialog") || document.querySelector("dialog[open]");
    const item = items.find(({ id }) => id === selected);
    const action = keys[event.key];
    if (!action || !item || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.repeat && "ar".includes(event.key)) return; // a key that is held decides one item
    event.preventDefault();
    action(item);
  }

  function onFilter(name, value) {
    filters[name] = value;
    const text = new URLSearchParams(Object.entries(filters).filter(([key, chosen]) => chosen || key === "state"));
    history.replaceState(history.state, "", `#/moderation?${text}`);
    load();
  }
  const states = [["", t("all_states")], ["open", t("item_state.open")], ...Object.keys(STATE_KINDS).map((state) => [state, codeText("item_state", state)])];
  const filterBar = el("div", { class: "filters", role: "search" },
    choiceFilter("state", t("state"), states).node(onFilter, filters.state),
    searchFilter("user_id", t("user_id")).node(onFilter, filters.user_id));
  fill(container, el("div", { class: "queue-columns" },
    card("", filterBar, rows, el("p", { class: "note" }, t("item_keys"))), detail));

  const timer = setInterval(() => hasMore || document.hidden || document.querySelector("dialog[open]") || load(), REFRESH_MS);
  document.addEventListener("keydown", onKey);
  load();
  return () => {
    clearInterval(timer);
    document.removeEventListener("keydown", onKey);
  };
}
