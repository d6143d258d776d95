// Room state of a client: the snapshot, and every numbered frame folded into it.
// Pure: states are immutable and share unchanged parts.

import { Gap } from "./errors.js";

const PROFILE_FIELDS = ["user_id", "nickname", "face_url", "gender"];
const SEATS = ["owner", "male", "female"];
const SEAT_BY_GENDER = { 1: "male", 2: "female" };
const SEAT_BY_ROLE = { host: "owner", male: "male", female: "female" };

/** State of a snapshot frame. */
export function begin(frame) {
  return { live_id: frame.live_id, epoch: frame.epoch, seq: frame.seq, room: frame.data };
}

/**
 * State after one more frame; the same object if the frame is old or changes nothing.
 *
 * Throws Gap if a frame is missing before it. An event without an entry in CHANGES replaces the
 * fields of the room that it names, so the next server's events need no new client.
 */
export function fold(state, frame) {
  if (frame.type === "audience") {
    const { audience_count, num_list } = frame.data;
    return Object.assign({}, state, {
      room: Object.assign({}, state.room, { audience_count, num_list }),
    });
  }
  if (frame.type === "heartbeat") {
    if (frame.seq > state.seq) throw new Gap(state.seq, frame.seq);
    return state;
  }
  if (!isEvent(frame)) return state;
  if (frame.epoch === state.epoch && frame.seq <= state.seq) return state;
  if (frame.epoch !== state.epoch || frame.seq !== state.seq + 1) {
    throw new Gap(state.epoch + "/" + state.seq, frame.epoch + "/" + frame.seq);
  }
  const change = has(CHANGES, frame.type)
    ? CHANGES[frame.type](state.room, frame.data)
    : namedFields(state.room, frame.data);
  const room = Object.assign({}, state.room, change);
  return Object.assign({}, state, { seq: frame.seq, room });
}

/** Whether the frame is a numbered event of the room, known or unknown. */
export function isEvent(frame) {
  if (frame.type === "snapshot" || frame.type === "resumed") return false;
  return typeof frame.seq === "number" && typeof frame.epoch === "string";
}

/** The user's open mic invitation, or null. */
export function invitation(state, userId) {
  if (!state) return null;
  return state.room.applicants.find((row) => row.user_id === userId && row.invited) || null;
}

/** Until when (ms) a user may not write in the chat: 0, or Infinity if the host has muted everybody. */
export function mutedUntil(state, userId) {
  if (!state) return 0;
  const { owner, muted, mute_all } = state.room;
  if (mute_all && owner.user_id !== userId) return Infinity;
  const row = muted.find(({ user_id }) => user_id === userId);
  return row ? row.until : 0;
}

/** The seat on which a user sits: owner, male or female; null if on none. */
export function seatOf(state, userId) {
  if (!state) return null;
  const { room } = state;
  return SEATS.find((name) => room[name] && room[name].user_id === userId) || null;
}

/** The user's role in the room: host, male, female, applied or viewer. */
export function roleIn(state, userId) {
  const seat = seatOf(state, userId);
  if (seat) return seat === "owner" ? "host" : seat;
  const hasApplied = ({ user_id, applied_at }) => user_id === userId && applied_at;
  return state && state.room.applicants.some(hasApplied) ? "applied" : "viewer";
}

// Changes of the room by event type.
const CHANGES = {
  micro_apply: (room, { applied_at, expires_at, ...data }) =>
    putApplicant(room, data, { applied_at, expires_at }),
  micro_invite: (room, { expires_at, ...data }) =>
    putApplicant(room, data, { invited: true, expires_at }),
  micro_accept: (room, data) => {
    const { play_url, area, age } = data;
    const seat = Object.assign(profile(data), { area, age, play_url, away: false });
    return Object.assign(removeApplicant(room, data), setSeat(data.gender, seat));
  },
  micro_refuse: removeApplicant,
  micro_leave: (room, data) => {
    const occupant = room[SEAT_BY_GENDER[data.gender]];
    return occupant && occupant.user_id === data.user_id ? setSeat(data.gender, null) : {};
  },
  member_away: (room, data) => setAway(room, data, true),
  member_back: (room, data) => setAway(room, data, false),
  live_pause: () => ({ status: "paused" }),
  live_resume: () => ({ status: "live" }),
  profile: updateProfile,
  mute: setMute,
  visibility: setVisibility,
  live_end: () => ({
    status: "ended",
    male: null,
    female: null,
    applicants: [],
    muted: [],
    mute_all: false,
  }),
};

function has(object, name) {
  return Object.prototype.hasOwnProperty.call(object, name);
}

function namedFields(room, data) {
  const fields = {};
  for (const name of Object.keys(data)) if (has(room, name)) fields[name] = data[name];
  return fields;
}

function putApplicant(room, data, change) {
  const rows = room.applicants;
  if (rows.some((row) => row.user_id === data.user_id)) {
    return { applicants: updateRow(rows, data.user_id, change) };
  }
  const row = Object.assign(profile(data), { applied_at: null, invited: false, expires_at: null });
  return { applicants: rows.concat([Object.assign(row, change)]) };
}

function removeApplicant(room, data) {
  return { applicants: room.applicants.filter((row) => row.user_id !== data.user_id) };
}

function setSeat(gender, occupant) {
  const name = SEAT_BY_GENDER[gender];
  return name ? { [name]: occupant } : {};
}

function setAway(room, data, away) {
  const name = SEAT_BY_ROLE[data.role];
  const occupant = name && room[name];
  if (!occupant || occupant.user_id !== data.user_id) return {};
  return { [name]: Object.assign({}, occupant, { away }) };
}

function setMute(room, { user_id, until }) {
  const muted = room.muted.filter((row) => row.user_id !== user_id);
  if (until) muted.push({ user_id, until });
  return { muted: muted.sort((a, b) => (a.user_id < b.user_id ? -1 : 1)) };
}

function setVisibility(room, { visibility, play_urls }) {
  const change = { visibility };
  for (const name of play_urls ? SEATS : []) {
    if (room[name]) change[name] = Object.assign({}, room[name], { play_url: play_urls[name] });
  }
  return change;
}

function updateProfile(room, data) {
  const change = { applicants: updateRow(room.applicants, data.user_id, profile(data)) };
  for (const name of SEATS) {
    const occupant = room[name];
    if (occupant && occupant.user_id === data.user_id) {
      change[name] = Object.assign({}, occupant, profile(data));
    }
  }
  if (change.owner) {
    change.room_name = data.nickname;
    // A custom cover is kept; a cover that was the host's avatar is updated with it.
    if (room.room_image === room.owner.face_url) change.room_image = data.face_url;
  }
  return change;
}

function updateRow(rows, userId, change) {
  return rows.map((row) => (row.user_id === userId ? Object.assign({}, row, change) : row));
}

function profile(data) {
  const fields = {};
  for (const name of PROFILE_FIELDS) fields[name] = data[name];
  return fields;
}
