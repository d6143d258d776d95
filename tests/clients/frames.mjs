// Users, a room snapshot and the frames of its socket.

export function face(user_id, gender = 1) {
  return { user_id, nickname: `name of ${user_id}`, face_url: `https://f/${user_id}`, gender };
}

export const HOST = face("10000000", 2);
export const BERT = face("20000000", 1);
export const ANNA = face("30000000", 2);

export function room(more = {}) {
  return {
    status: "live",
    room_name: HOST.nickname,
    room_image: HOST.face_url,
    group_id: "g",
    owner: { ...HOST, area: "", age: 30, play_url: "rtmp://h", away: false },
    male: null,
    female: null,
    applicants: [],
    muted: [],
    mute_all: false,
    visibility: "public",
    deputies: [],
    audience_count: 3,
    num_list: [0, 1, 0, 1],
    ...more,
  };
}

export function snapshot(seq = 0, more = {}, epoch = "e1") {
  return { type: "snapshot", live_id: 1, epoch, seq, ts: 5, data: room(more) };
}

export function event(seq, type, data, epoch = "e1") {
  return { type, live_id: 1, epoch, seq, ts: 5, data };
}

export function resumed(seq, replayed, epoch = "e1") {
  return { type: "resumed", live_id: 1, epoch, seq, replayed };
}

/** Frames of Bert's user channel. */
export function ownSnapshot(seq = 0, more = {}, epoch = "o1") {
  const data = { gold: 10, income: 0, in_room: null, invitations: [], ...more };
  return { type: "snapshot", user_id: BERT.user_id, epoch, seq, ts: 5, data };
}

export function ownEvent(seq, type, data, epoch = "o1") {
  return { type, user_id: BERT.user_id, epoch, seq, ts: 5, data };
}

export function ownResumed(seq, replayed, epoch = "o1") {
  return { type: "resumed", user_id: BERT.user_id, epoch, seq, replayed };
}

export function bye(code, retry_ms = 0) {
  return { type: "bye", code, reason: "why", retry_ms, reconnect: code < 4500 };
}
