// What a user can do about another one: the host and deputies mute and put out, all report and block, and a man
// and a woman like one another.

const { seatOf } = require("qlive-miniprogram");
const account = require("./account.js");
const qlive = require("./qlive.js");
const { t, showToast } = require("./i18n.js");

const REASONS = ["sexual", "abuse", "fraud", "minor", "advert", "other"];
const MUTE_MINUTES = 10;
const SEAT_OF_OTHERS = { 1: "female", 2: "male" }; // of whom one may like, by one's gender

/** Asks what to do. A deputy acts neither on the host nor on deputies, and puts out no guest. */
async function openPerson({ live_id, user_id, room }) {
  const isBlocked = (await qlive.blocks()).some((row) => row.user_id === user_id);
  const actions = [
    [isBlocked ? t.unblock : t.block, () => qlive.block({ user_id, blocked: !isBlocked })],
    [t.report, () => report(live_id, user_id)],
  ];
  if (room) await addActionsOfRoom(actions, live_id, user_id, room);
  const chosen = await choose(actions.map(([name]) => name));
  if (chosen !== null && (await actions[chosen][1]())) showToast(t.done);
}

async function addActionsOfRoom(actions, live_id, user_id, room) {
  const isHost = room.owner.user_id === qlive.userId;
  if (!isHost && seatOf({ room }, user_id) === SEAT_OF_OTHERS[account.me.gender]) {
    const like_state = 1 - (await qlive.getLike({ user_id })).like_state;
    actions.unshift([like_state ? t.like : t.unlike, () => qlive.like({ user_id, like_state })]);
  }
  const isMuted = room.muted.some((row) => row.user_id === user_id);
  const isDeputy = room.deputies.includes(user_id);
  const isAbove = isDeputy || room.owner.user_id === user_id;
  if (isHost || (room.deputies.includes(qlive.userId) && !isAbove)) {
    const minutes = isMuted ? 0 : MUTE_MINUTES;
    actions.unshift([isMuted ? t.unmute : t.mute, () => qlive.mute({ live_id, user_id, minutes })]);
    if (isHost || !seatOf({ room }, user_id)) actions.push([t.put_out, () => qlive.putOut({ live_id, user_id })]);
  }
  if (isHost) actions.push([isDeputy ? t.end_deputy : t.make_deputy, () => qlive.deputy({ live_id, user_id, on: !isDeputy })]);
}

/** Resolves with null if the user changes their mind. */
async function report(live_id, user_id) {
  const n = await choose(REASONS.map((reason) => t[`reason_${reason}`]));
  if (n === null) return null;
  const { confirm, content } = await new Promise((success) => {
    wx.showModal({ title: t.report, placeholderText: t.report_text, editable: true, success });
  });
  return confirm ? qlive.report({ live_id, user_id, reason: REASONS[n], text: content || "" }) : null;
}

function choose(itemList) {
  return new Promise((resolve) => {
    wx.showActionSheet({ itemList, success: ({ tapIndex }) => resolve(tapIndex), fail: () => resolve(null) });
  });
}

module.exports = { choose, openPerson };
