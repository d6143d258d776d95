// Log of a room's events and audience changes.

import { el } from "/ops/shared/dom.js";
import { formatInteger, formatTime } from "/ops/format.js";
import { codeText, t } from "/ops/i18n.js";

const MAX_ENTRIES = 300;
const SEAT_BY_GENDER = { 1: "seat_male", 2: "seat_female" };

const nameOf = (user) => user?.nickname || user?.user_id || "–";

/** Sentence for an event, in the format of rooms/events.py. */
export function sentence({ type, data }) {
  const values = { name: nameOf(data), seat: t(SEAT_BY_GENDER[data.gender] ?? "seat_free") };
  if (type === "micro_leave") values.why = codeText("left", data.reason);
  if (data.by) values.by = nameOf(data.by);
  if (type === "micro_refuse") values.why = data.by ? t("unqueued.deputy", values) : codeText("unqueued", data.reason);
  if (type === "live_end") values.why = codeText("ended", data.reason);
  if (type === "visibility") Object.assign(values, { name: nameOf(data.by), why: codeText("visibility", data.visibility) });
  if (type === "gift") {
    Object.assign(values, { name: nameOf(data.from), to: nameOf(data.to), gift: data.gift.name, n: data.num, gold: formatInteger(data.gold) });
  }
  const lifts = (type === "mute" && !data.until) || (type === "mute_all" && !data.mute_all) || (type === "deputy" && !data.on);
  if (type === "visibility" && !data.by) type = "renewal";
  const key = `event.${lifts ? `un${type}` : type}${type === "mute" && data.by ? "_by" : ""}`;
  const text = t(key, values);
  return text === key ? t("event.other", { type }) : text;
}

/**
 * Log with the newest entry first.
 *
 * `update(view)` adds the new events and returns whether there were any; `query()` returns the
 * parameters of the next request.
 */
export function eventLog() {
  const node = el("ol", { class: "log", tabindex: "0", "aria-label": t("changes") });
  let position = null;
  let audience = null;

  function add(text, time) {
    node.querySelector(".empty")?.remove();
    node.prepend(el("li", {}, el("time", {}, formatTime(time)), el("span", {}, text)));
    while (node.children.length > MAX_ENTRIES) node.lastChild.remove();
  }

  function reset(view) {
    node.replaceChildren(el("li", { class: "empty" }, t("no_changes")));
    position = { epoch: view.epoch, since: view.events.length ? view.events[0].seq - 1 : view.seq };
    audience = null;
  }

  function update(view) {
    if (position?.epoch !== view.epoch) reset(view);
    const newEvents = view.events.filter((event) => event.seq > position.since);
    const missed = newEvents.length ? newEvents[0].seq - position.since - 1 : 0;
    if (missed) add(t("event.lost", { n: missed }), newEvents[0].ts);
    for (const event of newEvents) add(sentence(event), event.ts);
    position.since = newEvents.at(-1)?.seq ?? position.since;
    const [from, to] = [audience, view.room.audience_count];
    audience = to;
    if (from !== null && from !== to) add(t("event.audience", { from, to }), Date.now());
    return newEvents.length > 0 || (from !== null && from !== to);
  }

  return { node, update, query: () => position ?? {} };
}
