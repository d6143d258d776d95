// The book: every entry with its lines; a gift or a grant can go back.

import { api, get } from "/ops/api.js";
import { ask } from "/ops/ask.js";
import { button, card, el, fill, say } from "/ops/dom.js";
import { when, whole } from "/ops/figures.js";
import { reason } from "/ops/form.js";
import { t, word } from "/ops/i18n.js";
import { choice, list, search } from "/ops/list.js";

const KINDS = ["recharge", "gift", "grant", "reversal"];
const USER = "user:";

export function ledger(place, _heard, _id, query) {
  const rows = entries({ query });
  fill(place, card("", rows.node));
}

/** The entries of one `user`, or of whoever is searched for; `moved` hears of a reversal. */
export function entries({ user = "", query, moved = () => {} }) {
  const columns = [
    { head: t("at"), cell: (entry) => when(entry.at) },
    { head: t("kind"), cell: (entry) => word("kind", entry.kind) },
    { head: t("moves"), cell: (entry) => moves(entry, user) },
    { head: t("what"), cell: what },
    { head: t("note"), kind: "wide", cell: (entry) => entry.note || "–" },
    { head: t("by"), cell: (entry) => by(entry.by) },
    { head: t("entry"), kind: "wide", cell: (entry) => el("code", {}, entry.id) },
    { head: t("actions"), kind: "acts", cell: (entry) =>
      ["gift", "grant"].includes(entry.kind)
        ? button(t("reverse"), async () => { if (await reverse(entry)) { rows.again(); moved(); } }, "danger")
        : "" },
  ];
  const kinds = [["", t("all_kinds")], ...KINDS.map((kind) => [kind, word("kind", kind)])];
  const rows = list({
    label: t("ledger"), columns, empty: t("no_entries"),
    load: (wanted, after) => get("ledger", { user_id: user, ...wanted, after }),
    filters: [...(user ? [] : [search("q", t("search_ledger"))]), choice("kind", t("kind"), kinds)],
    query,
  });
  return rows;
}

/** What goes to whom; what comes from the house is the other half and says nothing new. */
function moves(entry, user) {
  const own = entry.lines.filter((line) => line.account !== "house");
  return own.map((line) => el("div", { class: "move" },
    line.account === USER + user ? null : holder(line.account),
    el("span", { class: line.amount < 0 ? "less" : "more" }, `${line.amount > 0 ? "+" : "−"}${whole(Math.abs(line.amount))}`),
    ` ${t(line.unit)}`));
}

function holder(account) {
  const [kind, id] = account.split(":");
  return el("a", { href: `#/people/${id}` }, kind === "owed" ? `${t("owed")} ${id}` : id);
}

function by(who) {
  return /^[0-9]{8}$/.test(who) ? el("a", { href: `#/people/${who}` }, who) : word("source", who);
}

function what({ content, kind }) {
  if (kind === "gift") return t("gift_given", { id: content.gift_id, n: content.num });
  if (content.reverses) return el("code", {}, `↩ ${content.reverses}`);
  if (content.owed_by) return t("debt_settled");
  return content.transaction ? el("code", {}, content.transaction) : "–";
}

function reverse(entry) {
  return ask({
    title: t("reverse_title"),
    says: [
      t("reverse_says", { entry: entry.id }),
      entry.lines.filter((line) => line.account !== "house")
        .map((line) => `${line.account}: ${whole(-line.amount)} ${t(line.unit)}`).join("; "),
    ],
    fields: [reason()],
    yes: t("reverse_yes"),
    danger: true,
    async act(values) {
      const answer = await api("POST", "ledger/reverse", { entry: entry.id, ...values });
      say(t("reverse_done"));
      return answer;
    },
  });
}
