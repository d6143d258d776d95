// Page of one room, polled every second because operators have no socket.

import { get, permitted } from "/ops/api.js";
import { card, statusDot, userLink } from "/ops/dom.js";
import { button, el, fill } from "/ops/shared/dom.js";
import { formatDateTime, genderText } from "/ops/format.js";
import { eventLog } from "/ops/event_log.js";
import { codeText, t } from "/ops/i18n.js";
import { list, searchFilter } from "/ops/list.js";
import { removeUser } from "/ops/room_bans.js";
import { audienceCounts, bansTable, queueTable, roomHeader, seatCards, updateTimes } from "/ops/seats.js";

const POLL_MS = 1000;
const PEOPLE_REFRESH_MS = 5000;

// Parts of the page: render function, and the part of the view that it depends on.
const PARTS = {
  head: [roomHeader, ({ epoch, started_at: since, room, deputies }) => [epoch, since, room.status, room.visibility, room.room_name, room.room_image, room.group_id, deputies]],
  seats: [seatCards, ({ room }) => [room.owner, room.male, room.female]],
  queue: [queueTable, ({ room }) => room.applicants],
  counts: [audienceCounts, ({ room }) => [room.audience_count, room.num_list]],
  out: [bansTable, (view) => view.put_out],
};

export function roomPage(container, _poller, id) {
  const parts = Object.fromEntries([...Object.keys(PARTS), "error"].map((name) => [name, el("div", { class: name })]));
  const log = eventLog();
  const drawnStates = {};
  let lastView = null;
  let isLoading = false;
  const people = peopleList(id, () => poll());
  const actions = { latest: () => lastView, reload: () => { poll(); people.reload(); } };
  fill(container, parts.head, parts.error, parts.seats, el("div", { class: "columns" },
    el("div", {}, card(t("queue"), parts.queue), card(t("counts"), parts.counts)),
    card(t("changes"), el("p", { class: "note" }, t("changes_note")), log.node)),
    card(t("inside"), people.node), card(t("out_now"), parts.out));

  async function poll() {
    if (isLoading || document.hidden) return;
    isLoading = true;
    try {
      lastView = await get(`rooms/${id}`, log.query());
      fill(parts.error);
      if (log.update(lastView)) people.refresh();
      draw();
    } catch (error) {
      fill(parts.error, el("p", { class: "error", role: "alert" }, error.message));
    } finally {
      isLoading = false;
    }
  }

  function draw() {
    for (const [name, [render, select]] of Object.entries(PARTS)) {
      const state = JSON.stringify(select(lastView), withoutPlayUrl);
      if (state === drawnStates[name]) continue; // do not replace buttons while they are in use
      drawnStates[name] = state;
      fill(parts[name], render(lastView, actions));
    }
    updateTimes(container, lastView);
  }

  const timer = setInterval(poll, POLL_MS);
  poll();
  return () => {
    clearInterval(timer);
    people.stop();
  };
}

/** play_url is signed again for every response, and is not shown here. */
const withoutPlayUrl = (name, value) => (name === "play_url" ? undefined : value);

/** List of the users in the room. */
function peopleList(id, onRemoved) {
  const remove = async (row) => {
    if (await removeUser(id, row)) { people.reload(); onRemoved(); }
  };
  const columns = [
    { head: t("who"), cell: userLink },
    { head: t("gender"), cell: (row) => genderText(row.gender) },
    { head: t("role"), cell: (row) => codeText("role", row.role) },
    { head: t("state"), cell: (row) => (row.away_at ? statusDot("warn", t("away")) : statusDot("good", t("here"))) },
    { head: t("came_in"), cell: (row) => formatDateTime(row.entered_at) },
    { head: t("actions"), kind: "actions", cell: (row) => (row.role === "host" ? "–" : permitted("POST RemoveUser", button(t("put_out"), () => remove(row), { kind: "danger" }))) },
  ];
  const people = list({
    label: t("inside"), columns, empty: t("nobody_inside"),
    load: (filterValues, after) => get(`rooms/${id}/people`, { ...filterValues, after }),
    filters: [searchFilter("q", t("search_inside"))], refreshMs: PEOPLE_REFRESH_MS,
  });
  return people;
}
