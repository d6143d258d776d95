// Socket of a room, which also carries the user's channel while that is open.

import { begin, fold, invitation } from "./fold.js";
import { ResumingSocket } from "./socket.js";

// Events about the current user, emitted under their own names as well.
const OWN_EVENTS = { micro_accept: "seated", micro_refuse: "refused", micro_leave: "offMic" };

export class RoomSocket extends ResumingSocket {
  /** `state` is {live_id, epoch, seq, room}, see fold.js. */
  constructor(context, live_id, channel) {
    super(context, "room socket", { live_id }, begin, fold);
    this.live_id = live_id;
    this._channel = channel;
    this.on("connection", (connection) => channel.follow(this, connection));
  }

  _newConnection() {
    const ride = this._channel.newRide(this);
    const own = ride && { own: 1, own_epoch: ride.epoch, own_since: ride.since };
    const connection = super._newConnection(own);
    connection.ride = ride;
    if (ride) ride.lose = (reason) => this._onLost(connection, 0, reason, 0);
    return connection;
  }

  /** Passes frames of the user, and the part of a heartbeat that is about them, to the channel. */
  _receive(connection, frame) {
    const isOwn = frame.user_id !== undefined;
    if (!isOwn) super._receive(connection, frame);
    const { ride } = connection;
    if (!ride || connection !== this._connection) return;
    if (isOwn) this._channel.receive(ride, frame);
    else if (frame.own_seq !== undefined) this._channel.receive(ride, { ...frame, seq: frame.own_seq });
  }

  _show(previous, frame) {
    const { state } = this;
    const { userId } = this._session;
    this.emit("state", state.room, frame);
    if (frame.type === "audience") this.emit("audience", frame.data);
    const before = invitation(previous, userId);
    const invited = invitation(state, userId);
    const isNew = invited && (!before || before.expires_at !== invited.expires_at);
    if (isNew) this.emit("invited", invited);
    const ownEvent = OWN_EVENTS[frame.type];
    if (ownEvent && frame.data.user_id === userId) this.emit(ownEvent, frame.data);
  }
}
