// What the page of a room shows, from the state that the SDK keeps. Pure.

const { invitation, mutedUntil, roleIn, seatOf } = require("qlive-miniprogram");
const { provinceOf } = require("./areas.js");
const { t, format } = require("./i18n.js");

const SEATS = ["owner", "male", "female"];

/** The fields of the page that follow from the room; `before` are those that it shows. */
function viewOf(room, userId, before) {
  const own = seatOf({ room }, userId);
  return {
    title: room.room_name || t.nameless,
    people: format("people_in", { n: room.audience_count }),
    role: roleIn({ room }, userId),
    own,
    applicants: room.applicants.map(applicantOf),
    muteAll: room.mute_all,
    visibility: room.visibility,
    isPrivate: room.visibility === "private",
    isDeputy: room.deputies.includes(userId),
    receivers: SEATS.filter((name) => room[name] && name !== own).map((name) => receiverOf(name, room[name])),
    owner: seatViewOf("owner", room, own, before.owner),
    guests: ["male", "female"].map((name, n) => seatViewOf(name, room, own, before.guests[n])),
  };
}

/**
 * A seat; a stream keeps its address, since the server signs it again for each snapshot.
 *
 * With another user its key is another one, so that the component is made again.
 */
function seatViewOf(name, room, own, before) {
  const user = room[name];
  if (!user) return { key: name, name, user_id: "" };
  const isSame = before && before.user_id === user.user_id && streamOf(before.url) === streamOf(user.play_url);
  return {
    key: name + user.user_id,
    name,
    user_id: user.user_id,
    nickname: user.nickname || t.nameless,
    about: [user.age || "", provinceOf(user.area)].filter(Boolean).join(" · "),
    isAway: user.away || (name === "owner" && room.status === "paused"),
    isMuted: room.muted.some(({ user_id }) => user_id === user.user_id),
    own: own === name,
    url: isSame ? before.url : user.play_url,
  };
}

/** The address without its signature. */
const streamOf = (url) => url.split("?")[0];

const applicantOf = ({ user_id, nickname, face_url, invited, applied_at }) => {
  return { user_id, nickname: nickname || t.nameless, face_url, invited, hasApplied: applied_at !== null };
};

const receiverOf = (seat, { user_id, nickname }) => ({ seat, user_id, nickname });

/** The sender's name, if the user is on mic or has applied. */
function nameIn(room, userId) {
  const rows = [...SEATS.map((name) => room[name]), ...room.applicants];
  const found = rows.find((row) => row && row.user_id === userId);
  return found ? found.nickname : null;
}

/** The fields that differ from those that are shown. */
function changesOf(view, shown) {
  const changed = Object.keys(view).filter((key) => JSON.stringify(view[key]) !== JSON.stringify(shown[key]));
  return Object.fromEntries(changed.map((key) => [key, view[key]]));
}

module.exports = { changesOf, invitation, mutedUntil, nameIn, viewOf };
