// What happens in a room, in sentences: its own numbered events, and how many look on.

import { el } from "/ops/dom.js";
import { clock, whole } from "/ops/figures.js";
import { t, word } from "/ops/i18n.js";

const KEPT = 300;
const SEAT = { 1: "seat_male", 2: "seat_female" };

const nameOf = (who) => who?.nickname || who?.user_id || "–";

/** One event as rooms/events.py writes it. */
export function sentence({ type, data }) {
  const said = { name: nameOf(data), seat: t(SEAT[data.gender] ?? "seat_free") };
  if (type === "micro_leave") said.why = word("left", data.reason);
  if (type === "micro_refuse") said.why = word("unqueued", data.reason);
  if (type === "live_end") said.why = word("ended", data.reason);
  if (type === "gift") {
    Object.assign(said, { name: nameOf(data.from), to: nameOf(data.to), gift: data.gift.name, n: data.num, gold: whole(data.gold) });
  }
  const words = t(`event.${type}`, said);
  return words === `event.${type}` ? t("event.other", { type }) : words;
}

/** The list of them, the newest first: `hear(seen)` adds what a look has brought, and says whether
 *  there was anything; `asked()` is what the next look is to be asked for. */
export function happenings() {
  const node = el("ol", { class: "log", tabindex: "0", "aria-label": t("changes") });
  let at = null;
  let audience = null;

  function add(words, moment) {
    node.querySelector(".empty")?.remove();
    node.prepend(el("li", {}, el("time", {}, clock(moment)), el("span", {}, words)));
    while (node.children.length > KEPT) node.lastChild.remove();
  }

  function anew(seen) {
    node.replaceChildren(el("li", { class: "empty" }, t("no_changes")));
    at = { epoch: seen.epoch, since: seen.events.length ? seen.events[0].seq - 1 : seen.seq };
    audience = null;
  }

  function hear(seen) {
    if (at?.epoch !== seen.epoch) anew(seen);
    const fresh = seen.events.filter((event) => event.seq > at.since);
    const lost = fresh.length ? fresh[0].seq - at.since - 1 : 0;
    if (lost) add(t("event.lost", { n: lost }), fresh[0].ts);
    for (const event of fresh) add(sentence(event), event.ts);
    at.since = fresh.at(-1)?.seq ?? at.since;
    const [from, to] = [audience, seen.room.audience_count];
    audience = to;
    if (from !== null && from !== to) add(t("event.audience", { from, to }), Date.now());
    return fresh.length > 0 || (from !== null && from !== to);
  }

  return { node, hear, asked: () => at ?? {} };
}
