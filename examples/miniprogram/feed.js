// Lines of the room's feed, from the frames of its socket.

const { t, format } = require("./i18n.js");

const SLOTS = 60; // a later line takes the place of the earliest

/** {kind, text, image} of a frame, or null if it is not shown. */
function lineOf({ type, data }) {
  if (type === "snapshot") return { kind: "note", text: t.feed_welcome };
  if (type === "gift") {
    const values = { from: data.from.nickname, to: data.to.nickname, gift: data.gift.name, n: data.num };
    return { kind: "gift", text: format("feed_gift", values), image: data.gift.image };
  }
  if (type === "visibility" && !data.by) return null; // only its streams are new
  const values = [data.reason, data.mute_all, data.visibility, data.on];
  const key = [...values.map((value) => `feed_${type}_${value}`), `feed_${type}`].find((name) => name in t);
  return key ? { kind: "event", text: format(key, { name: data.nickname || t.nameless }) } : null;
}

/** The data of the page that adds the `order`th line, counted from 0, and scrolls to it. */
function addition(line, order) {
  const slot = order % SLOTS;
  return { [`lines[${slot}]`]: { ...line, slot, order }, last: `line-${slot}` };
}

module.exports = { addition, lineOf };
