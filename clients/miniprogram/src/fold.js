// A room as a client shows it: the snapshot it was given, and every numbered frame since.
// Pure: a state is never changed, the next one shares with it what stayed the same.

import { Gap } from "./errors.js";

const FACE = ["user_id", "nickname", "face_url", "gender"];
const SEATS = { 1: "male", 2: "female" };
const ROLES = { host: "owner", male: "male", female: "female" };

/** The state that a snapshot frame shows. */
export function begin(frame) {
  return { live_id: frame.live_id, epoch: frame.epoch, seq: frame.seq, room: frame.data };
}

/**
 * The state after one more frame; the same object when the frame is old, or changes nothing.
 * Throws Gap when a frame is missing before it. What is not known still counts as heard.
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
  const change = Object.prototype.hasOwnProperty.call(CHANGES, frame.type)
    ? CHANGES[frame.type](state.room, frame.data)
    : {};
  const room = Object.assign({}, state.room, change);
  return Object.assign({}, state, { seq: frame.seq, room });
}

/** Whether a frame has a number of its own: what happened in the room, known here or not. */
export function isEvent(frame) {
  if (frame.type === "snapshot" || frame.type === "resumed") return false;
  return typeof frame.seq === "number" && typeof frame.epoch === "string";
}

/** The invitation to the mic that this person has not answered, or null. */
export function invitation(state, userId) {
  if (!state) return null;
  return state.room.applicants.find((row) => row.user_id === userId && row.invited) || null;
}

// What each event changes of the room.
const CHANGES = {
  micro_apply: (room, { applied_at, expires_at, ...data }) =>
    ask(room, data, { applied_at, expires_at }),
  micro_invite: (room, { expires_at, ...data }) => ask(room, data, { invited: true, expires_at }),
  micro_accept: (room, data) => {
    const { play_url, area, age } = data;
    const seated = Object.assign(face(data), { area, age, play_url, away: false });
    return Object.assign(withdraw(room, data), seat(data.gender, seated));
  },
  micro_refuse: withdraw,
  micro_leave: (room, data) => {
    const there = room[SEATS[data.gender]];
    return there && there.user_id === data.user_id ? seat(data.gender, null) : {};
  },
  member_away: (room, data) => showAway(room, data, true),
  member_back: (room, data) => showAway(room, data, false),
  live_pause: () => ({ status: "paused" }),
  live_resume: () => ({ status: "live" }),
  profile: changeFace,
  live_end: () => ({ status: "ended", male: null, female: null, applicants: [] }),
};

function ask(room, data, change) {
  const rows = room.applicants;
  if (rows.some((row) => row.user_id === data.user_id)) {
    return { applicants: changed(rows, data.user_id, change) };
  }
  const row = Object.assign(face(data), { applied_at: null, invited: false, expires_at: null });
  return { applicants: rows.concat([Object.assign(row, change)]) };
}

function withdraw(room, data) {
  return { applicants: room.applicants.filter((row) => row.user_id !== data.user_id) };
}

function seat(gender, seated) {
  const name = SEATS[gender];
  return name ? { [name]: seated } : {};
}

function showAway(room, data, away) {
  const name = ROLES[data.role];
  const there = name && room[name];
  if (!there || there.user_id !== data.user_id) return {};
  return { [name]: Object.assign({}, there, { away }) };
}

function changeFace(room, data) {
  const change = { applicants: changed(room.applicants, data.user_id, face(data)) };
  for (const name of ["owner", "male", "female"]) {
    const there = room[name];
    if (there && there.user_id === data.user_id) {
      change[name] = Object.assign({}, there, face(data));
    }
  }
  if (change.owner) {
    change.room_name = data.nickname;
    // A cover of the room's own stays; one that was the host's face follows it.
    if (room.room_image === room.owner.face_url) change.room_image = data.face_url;
  }
  return change;
}

function changed(rows, userId, change) {
  return rows.map((row) => (row.user_id === userId ? Object.assign({}, row, change) : row));
}

function face(data) {
  const shown = {};
  for (const name of FACE) shown[name] = data[name];
  return shown;
}
