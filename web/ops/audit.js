// The audit: who asked for what, on whom, when and why, and whether it was done.

import { get } from "/ops/api.js";
import { card, el, fill, state } from "/ops/dom.js";
import { when } from "/ops/figures.js";
import { t, word } from "/ops/i18n.js";
import { list, search, tick } from "/ops/list.js";

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
    label: t("audit"), columns, empty: t("no_audit"),
    load: ({ q, changes }, after) => get("audit", { q, changes, after }),
    filters: [search("q", t("search_audit")), tick("changes", t("only_changes"), true)],
  });
  fill(place, card("", el("p", { class: "note" }, t("audit_note")), rows.node));
}

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
