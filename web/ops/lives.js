// Reports of lives: when each was, who came, what happened, and what the host received.

import { download, get } from "/ops/api.js";
import { card } from "/ops/dom.js";
import { button, el, fill } from "/ops/shared/dom.js";
import { formatDateTime, formatDuration, formatInteger } from "/ops/format.js";
import { codeText, t } from "/ops/i18n.js";
import { list, searchFilter } from "/ops/list.js";

export function livesPage(container, _poller, _id, query) {
  const number = (head, count) => ({ head: t(head), kind: "number", cell: (live) => formatInteger(count(live)) });
  const columns = [
    { head: t("live_since"), cell: (live) => [formatDateTime(live.started_at), el("small", {}, end(live))] },
    { head: t("live_for"), kind: "number", cell: duration },
    { head: t("host"), cell: ({ host_id: id }) => el("a", { href: `#/people/${id}` }, id) },
    { head: t("room"), cell: ({ live_id: id }) => el("a", { href: `#/rooms/${id}` }, String(id)) },
    number("audience_peak", (live) => live.audience_peak),
    number("audience_total", (live) => live.audience_total),
    number("applications", (live) => live.applications),
    number("dates", (live) => live.dates),
    number("income", (live) => live.income),
    number("new_followers", (live) => live.followers),
    number("matches", (live) => live.matches),
  ];
  let shown = {};
  const rows = list({
    label: t("lives"), columns, empty: t("no_lives"), query,
    load: (filters, after) => {
      shown = filters;
      return get("lives", { ...filters, after });
    },
    filters: [searchFilter("host_id", t("host_id")), searchFilter("live_id", t("room_number"))],
  });
  const save = () => download("lives.csv", shown, "lives.csv");
  const head = el("div", { class: "card-head" }, el("p", { class: "note" }, t("lives_note")), button(t("save_csv"), save));
  fill(container, card("", head, rows.node));
}

const end = ({ ended_at: at, reason }) => (at ? codeText("ended", reason) : t("room.live"));

const duration = ({ started_at: from, ended_at: to }) =>
  formatDuration(((to ? new Date(to) : new Date()) - new Date(from)) / 1000);
