// List of live rooms with seats, queue and audience, and the dialog that ends a live.

import { api, get, permitted } from "/ops/api.js";
import { openFormDialog } from "/ops/form_dialog.js";
import { card, statusDot, userLink } from "/ops/dom.js";
import { button, el, fill } from "/ops/shared/dom.js";
import { showToast } from "/ops/shared/toast.js";
import { formatDuration, formatInteger } from "/ops/format.js";
import { reasonField } from "/ops/form.js";
import { codeText, t } from "/ops/i18n.js";
import { list, localPages, searchFilter } from "/ops/list.js";

const REFRESH_MS = 5000;

export const ROOM_KINDS = { live: "good", paused: "warn", ended: "muted" };

export function roomsPage(container, _poller, _id, query) {
  const seat = (row, name) => (row.room[name] ? userLink(row.room[name]) : el("span", { class: "muted" }, t("seat_free")));
  const columns = [
    { head: t("room"), cell: (row) => el("a", { class: "strong", href: `#/rooms/${row.id}` }, row.room.room_name || String(row.id), el("small", {}, String(row.id))) },
    { head: t("state"), cell: (row) => statusDot(ROOM_KINDS[row.room.status], codeText("room", row.room.status)) },
    { head: t("host"), cell: (row) => seat(row, "owner") },
    { head: t("seat_male"), cell: (row) => seat(row, "male") },
    { head: t("seat_female"), cell: (row) => seat(row, "female") },
    { head: t("queue"), kind: "number", cell: (row) => formatInteger(row.room.applicants.length) },
    { head: t("audience"), kind: "number", cell: (row) => formatInteger(row.room.audience_count) },
    { head: t("live_for"), kind: "number", cell: (row) => formatDuration((Date.now() - row.started_at) / 1000) },
    { head: t("actions"), kind: "actions", cell: (row) => [
      el("a", { class: "button", href: `#/rooms/${row.id}` }, t("enter_room")),
      permitted("POST EndLive", button(t("end_live"), async () => (await endLive(row)) && rows.reload(), { kind: "danger" })),
    ] },
  ];
  const matches = ({ room, id }, { q }) =>
    !q || [room.room_name, id, ...["owner", "male", "female"].flatMap((name) => [room[name]?.user_id, room[name]?.nickname])]
      .some((text) => String(text ?? "").toLowerCase().includes(q.toLowerCase()));
  const rows = list({
    label: t("rooms"), columns, empty: t("no_rooms"),
    load: localPages(() => get("rooms"), matches), filters: [searchFilter("q", t("search_rooms"))],
    refreshMs: REFRESH_MS, query,
  });
  fill(container, card("", rows.node));
  return rows.stop;
}

/** Resolves with true if the live was ended. */
export function endLive({ id, room }) {
  return openFormDialog({
    title: t("end_title", { name: room.room_name || id }),
    messages: [t("end_text", { n: room.audience_count })],
    fields: [reasonField()],
    confirmLabel: t("end_yes"),
    danger: true,
    async onConfirm(values) {
      await api("POST", `rooms/${id}/end`, values);
      showToast(t("end_done", { name: room.room_name || id }));
      return true;
    },
  });
}
