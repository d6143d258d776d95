// Lines of the room's feed, from the frames of its socket.

const { t, format } = require("./i18n.js");

const SLOTS = 60; // a later line takes the place of the earliest

/** {kind, text, image} of a frame, or null if it is not shown. */
function lineOf({ type, data }) {
  if (type === "snapshot") return { kind: "note", text: t.feed_welcome };
  if (!(`feed_${type}` in t) && type !== "mute_all") return null;
  if (type === "gift") {
    const values = { from: data.from.nickname, to: data.to.nickname, gift: data.gift.name, n: data.num };
    return { kind: "gift", text: format("feed_gift", values), image: data.gift.image };
  }
  const key = type === "mute_all" ? `feed_mute_all_${data.mute_all}` : `feed_${type}_${data.reason}`;
  return { kind: "event", text: format(key in t ? key : `feed_${type}`, { name: data.nickname || t.nameless }) };
}

/** The data of the page that adds the `order`th line, counted from 0, and scrolls to it. */
function addition(line, order) {
  const slot = order % SLOTS;
  return { [`lines[${slot}]`]: { ...line, slot, order }, last: `line-${slot}` };
}

module.exports = { addition, lineOf };
