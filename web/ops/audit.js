// The audit: who asked for what, on whom, when and why, and whether it was done.

import { get } from "/ops/api.js";
import { card, el, fill, state } from "/ops/dom.js";
import { when } from "/ops/figures.js";
import { t, word } from "/ops/i18n.js";
import { list, search, tick } from "/ops/list.js";

const SOUGHT = 12; // pages that one search reads at most: each is a call, and stands in the audit
const ENOUGH = 20;

export function audit(place) {
  const columns = [
    { head: t("at"), cell: (entry) => when(entry.at) },
    { head: t("who"), cell: (entry) => entry.who },
    { head: t("what"), cell: (entry) => [deed(entry.what), el("small", {}, entry.what)] },
    { head: t("on"), cell: (entry) => on(entry) },
    { head: t("reason"), kind: "wide", cell: (entry) => entry.reason || "–" },
    { head: t("asked"), kind: "wide", cell: asked },
    { head: t("outcome"), cell: (entry) => (entry.done ? state("good", t("done")) : state("warn", t("not_done"))) },
  ];
  const rows = list({
    label: t("audit"), columns, empty: t("no_audit"), load,
    filters: [search("q", t("search_audit")), tick("changes", t("only_changes"), true)],
  });
  fill(place, card("", el("p", { class: "note" }, t("audit_note")), rows.node));
}

/** The server gives the audit whole, so what is looked for is looked for here. */
async function load({ q, changes }, after) {
  const items = [];
  let next = after;
  for (let page = 0; page < SOUGHT && items.length < ENOUGH && next !== null; page += 1) {
    const read = await get("audit", { after: next });
    items.push(...read.items.filter((entry) => wanted(entry, q, changes)));
    next = read.next;
  }
  return { items, next };
}

function wanted(entry, q, changes) {
  if (changes && entry.what.startsWith("GET ")) return false;
  const text = [entry.who, entry.what, deed(entry.what), entry.on, entry.reason, JSON.stringify(entry.asked)].join(" ");
  return !q || text.toLowerCase().includes(q.toLowerCase());
}

const deed = (what) => word("deed", what);

function on({ on: whom, what }) {
  const id = whom.split("/")[0];
  if (!id) return "–";
  if (/User|Grant|Settle/.test(what)) return el("a", { href: `#/people/${id}` }, id);
  if (/Room|Live/.test(what)) return el("a", { href: `#/rooms/${id}` }, id);
  return whom;
}

function asked(entry) {
  const said = Object.entries(entry.asked ?? {}).filter(([name]) => name !== "reason");
  if (!said.length) return "–";
  return el("code", {}, said.map(([name, value]) => `${name}: ${JSON.stringify(value)}`).join(", "));
}
