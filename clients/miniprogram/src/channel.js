// The user channel: events about the user, on a connection of its own or on that of a room.

import { isNext } from "./fold.js";
import { RECONNECT } from "./reconnect.js";
import { ResumingSocket } from "./socket.js";

const REPEAT_MS = 600000; // a start may come twice; a live that ends and begins again at once is no news either

export class UserChannel extends ResumingSocket {
  /** `state` is {user_id, epoch, seq, gold, income, in_room, invitations}. */
  constructor(context) {
    super(context, "user channel", {}, begin, fold);
    this._startedAt = new Map(); // live_id -> time of the last start that was reported
  }

  open() {
    const { state, _session: session } = this;
    if (state && state.user_id !== session.userId) this.state = null;
    super.open();
  }

  /** Closes the channel when its user is signed out. */
  signOut() {
    if (this._opened) this._end(RECONNECT.token_code, "token");
  }

  wake() {
    if (!this._isRiding) super.wake(); // the room wakes by itself
  }

  // ---- on the connection of a room

  get _isRiding() {
    return this._connection instanceof Ride;
  }

  /** The channel's place on the next connection of a room; null if the channel is closed. */
  newRide(room) {
    return this._opened ? new Ride(room, this._position()) : null;
  }

  /** Handles a frame from the connection of a room. The first one there replaces the own connection. */
  receive(ride, frame) {
    if (!this._opened) return;
    if (ride !== this._connection) {
      if (frame.type !== "snapshot" && frame.type !== "resumed") return;
      this._replaceConnection(ride);
    }
    this._receive(ride, frame);
  }

  /** Shares the reconnects of the room that carries the channel; once that is closed, connects again. */
  follow(room, connection) {
    if (!this._isRiding || this._connection.room !== room) return;
    const { phase, code, reason } = connection;
    if (phase === "closed") {
      this._connection = null;
      this._failures = 0;
      this._reconnect(code, reason, 0); // after a random delay: a live ends for all at once
    } else if (phase === "connecting" || phase === "reconnecting") this.emit("connection", connection);
  }

  _onLost(connection, code, reason, retryAfterMs) {
    if (connection instanceof Ride) connection.lose(reason);
    else super._onLost(connection, code, reason, retryAfterMs);
  }

  _handleFrame(connection, frame) {
    if (frame.type !== "live_started" || this._isNew(frame.data)) super._handleFrame(connection, frame);
  }

  _isNew({ live_id }) {
    const now = this._platform.now();
    if (now < this._startedAt.get(live_id) + REPEAT_MS) return false;
    this._startedAt.set(live_id, now);
    return true;
  }

  _show(previous, frame) {
    const connection = this._connection;
    this.emit("state", this.state, frame);
    const isClosed = connection !== this._connection; // by a listener
    if (frame.type !== "snapshot" && !isClosed) this.emit(frame.type, frame.data);
  }
}

/** The channel's part of a room's connection, used as a Connection. */
class Ride {
  constructor(room, { epoch, since }) {
    Object.assign(this, { room, epoch, since, live: false, replay: null });
  }

  markLive() {
    this.live = true;
  }

  close() {}
}

function begin({ user_id, epoch, seq, data }) {
  return { user_id, epoch, seq, ...data };
}

/** The state after one more frame; the same object if the frame is old. Throws Gap if one is missing. */
function fold(state, frame) {
  const { type, data, seq } = frame;
  if (type === "balance") return { ...state, gold: data.gold, income: data.income };
  if (type === "where") return { ...state, in_room: data.live_id };
  if (type === "live_started") return { ...state }; // is emitted, although nothing changes
  if (!isNext(state, frame)) return state;
  if (type !== "invitation" && type !== "invitation_end") return { ...state, seq };
  const others = state.invitations.filter(({ invitation_id }) => invitation_id !== data.invitation_id);
  return { ...state, seq, invitations: type === "invitation" ? others.concat([data]) : others };
}
