// The audit: who asked for what, on whom, when and why, and whether it was done.

import { get } from "/ops/api.js";
import { card, el, fill, state } from "/ops/dom.js";
import { when } from "/ops/figures.js";
import { t, word } from "/ops/i18n.js";
import { choice, list, search, tick } from "/ops/list.js";
import { words } from "/ops/words.js";

const DEEDS = Object.keys(words).filter((key) => key.startsWith("deed.")).map((key) => key.slice("deed.".length));

export function audit(place, _heard, _id, query) {
  const columns = [
    { head: t("at"), cell: (entry) => when(entry.at) },
    { head: t("who"), cell: (entry) => entry.who },
    { head: t("deed"), cell: (entry) => [deed(entry.what), el("small", {}, entry.what)] },
    { head: t("on"), cell: (entry) => on(entry) },
    { head: t("reason"), kind: "wide", cell: (entry) => entry.reason || "–" },
    { head: t("asked"), kind: "wide", cell: asked },
    { head: t("outcome"), cell: (entry) => (entry.done ? state("good", t("done")) : state("warn", t("not_done"))) },
  ];
  const rows = list({
    label: t("audit"), columns, empty: t("no_audit"),
    load: find, query,
    filters: [
      search("q", t("search_audit")),
      choice("deed", t("deed"), [["", t("all_deeds")], ...DEEDS.map((what) => [what, deed(what)])]),
      tick("changes", t("only_changes"), true),
    ],
  });
  fill(place, card("", el("p", { class: "note" }, t("audit_note")), rows.node));
}

/** A deed is searched for by the server's name of it, whether it was chosen or typed in the words of
 *  this page. With a text besides, the server finds the text, and a page has those of the deed. */
async function find({ q, deed: chosen, changes }, after) {
  const typed = chosen ? "" : meant(q);
  const what = chosen || typed;
  const page = await get("audit", {
    q: typed ? what : q || what, after,
    changes: changes && !what.startsWith("GET"), // one that only looks is no change
  });
  return what ? { ...page, items: page.items.filter((entry) => entry.what === what) } : page;
}

const meant = (text) => DEEDS.find((what) => words[`deed.${what}`].includes(text.toLowerCase())) ?? "";

const deed = (what) => word("deed", what);

function on({ on: whom, what }) {
  const id = whom.split("/")[0];
  if (!id) return "–";
  if (/User|Grant|Settle/.test(what)) return el("a", { href: `#/people/${id}` }, id);
  if (/Room|Live|PutOut|LetIn|Inside/.test(what)) return el("a", { href: `#/rooms/${id}` }, id);
  return whom;
}

function asked(entry) {
  const said = Object.entries(entry.asked ?? {}).filter(([name]) => name !== "reason");
  if (!said.length) return "–";
  return el("code", {}, said.map(([name, value]) => `${name}: ${JSON.stringify(value)}`).join(", "));
}
