// The socket of one room: it comes back by itself, takes up where it was, and misses nothing.

import { ATTEMPTS_A_MINUTE, PEACE_MS, SHORTEST_MS, guarded, pauseAsked } from "./backoff.js";
import { Emitter } from "./emitter.js";
import { Gap } from "./errors.js";
import { begin, fold, invitation, isEvent } from "./fold.js";
import { query } from "./http.js";
import { Line } from "./line.js";

const LEFT = 1000;
const TOKEN = 4401;

// Events about oneself, under a name of their own.
const MINE = { micro_accept: "seated", micro_refuse: "refused", micro_leave: "offMic" };

export class RoomSocket extends Emitter {
  constructor(platform, base, session, live_id) {
    super(platform.setTimeout);
    this.live_id = live_id;
    this.state = null; // {live_id, epoch, seq, room}, as fold.js makes it
    this._platform = platform;
    this._address = base.replace(/^http/, "ws") + "/ws/";
    this._session = session;
    this._wanted = false;
    this._line = null; // the connection there is
    this._timer = null; // the next attempt
    this._attempts = []; // when the last ones were made
    this._failures = 0; // since the last peace
    this._notBefore = 0; // what the last goodbye asked for
    this._afresh = false; // ask for a snapshot: what we have leads nowhere
    this._gapAt = null;
    this._unwake = () => {};
  }

  /** Listens, until closed by either side; after a new login it goes on where it was. */
  open() {
    if (this._wanted) return;
    this._wanted = true;
    if (this._platform.onWake) this._unwake = this._platform.onWake(() => this.wake());
    this._come(0);
  }

  /** Does not listen any more. Leaving the room is `leaveRoom`. */
  close() {
    if (this._wanted) this._end(LEFT, "left");
  }

  /** The phone has woken, or has found a network: time may have stood still for our timers. */
  wake() {
    if (this._line) this._line.doubt();
    else if (this._wanted) this._come(Math.max(SHORTEST_MS, this._notBefore - this._platform.now()));
  }

  // ---- coming and going

  _come(delay) {
    this._platform.clearTimeout(this._timer);
    const wait = guarded(delay, this._attempts, this._platform.now());
    if (wait > 0) this._timer = this._platform.setTimeout(() => this._connect(), wait);
    else this._connect();
    return wait;
  }

  _connect() {
    this._timer = null;
    const now = this._platform.now();
    this._attempts = this._attempts.concat([now]).slice(-ATTEMPTS_A_MINUTE);
    this.emit("connection", { phase: "connecting", attempt: this._failures });
    if (!this._wanted || this._line) return; // that was a listener's wish
    const line = new Line(this._platform, this._url(), this._session.token, {
      heard: (text) => this._hear(line, text),
      lost: (code, reason) => this._lost(code, reason, 0),
    });
    this._line = line;
  }

  _url() {
    const { state } = this;
    const where = state && !this._afresh ? { epoch: state.epoch, since: state.seq } : {};
    return this._address + query(Object.assign({ live_id: this.live_id }, where));
  }

  /** The connection is gone: back, unless the code says never. */
  _lost(code, reason, askedMs) {
    const line = this._hangUp();
    // An old token's end is no end for who has logged in anew meanwhile.
    const renewed = this._session.token && this._session.token !== line.token;
    if ((code === TOKEN && !renewed) || (code >= 4500 && code < 5000)) {
      this._end(code, reason);
      if (code === TOKEN) this._session.refused(line.token, { status: 401, code: "token" });
      return;
    }
    if (line.peace >= PEACE_MS) this._failures = 0;
    this._notBefore = this._platform.now() + askedMs;
    const pause = pauseAsked(this._failures, askedMs, this._platform.random);
    this._failures += 1;
    const delay = this._come(pause);
    const attempt = this._failures;
    this.emit("connection", { phase: "reconnecting", attempt, delay, code, reason });
  }

  _hangUp() {
    const line = this._line;
    this._line = null;
    if (line) line.hangUp();
    return line;
  }

  _end(code, reason) {
    this._wanted = false;
    this._hangUp();
    this._platform.clearTimeout(this._timer);
    this._timer = null;
    this._unwake();
    this.emit("connection", { phase: "closed", code, reason });
  }

  // ---- what is heard

  _hear(line, text) {
    const frame = parse(text);
    if (!frame) return;
    // An event is told when it has its place: one beyond a gap comes again, and would be told twice.
    if (!isEvent(frame)) this.emit("frame", frame);
    if (line !== this._line) return; // a listener has closed us
    try {
      this._take(line, frame);
    } catch (error) {
      if (error.name !== "Gap") throw error;
      // The same gap twice: what we have leads nowhere, and asking again would never end.
      const at = this.state ? this.state.epoch + "/" + this.state.seq : "";
      if (this._gapAt === at) this._afresh = true;
      this._gapAt = at;
      this._lost(0, "gap", 0);
    }
  }

  _take(line, frame) {
    if (frame.type === "bye") {
      this._lost(frame.code, frame.reason, frame.retry_ms > 0 ? frame.retry_ms : 0);
    } else if (frame.type === "snapshot") {
      line.goLive();
      this._afresh = false;
      this._become(begin(frame), frame);
      const reset = frame.reset || null;
      if (line === this._line) this.emit("connection", { phase: "live", reset });
    } else if (frame.type === "resumed") {
      this._resume(line, frame);
    } else if (line.live) {
      const next = fold(this.state, frame);
      if (next !== this.state) this._become(next, frame);
      this._tellCaughtUp(line);
    }
  }

  _resume(line, frame) {
    const { state } = this;
    const follows = state && frame.epoch === state.epoch && frame.seq - frame.replayed === state.seq;
    if (!follows) {
      this._afresh = true;
      throw new Gap(state ? state.seq : "nothing", frame.seq);
    }
    line.catchesUp = { seq: frame.seq, replayed: frame.replayed };
    line.goLive();
    this._tellCaughtUp(line);
  }

  _tellCaughtUp(line) {
    if (line !== this._line || !line.catchesUp || this.state.seq < line.catchesUp.seq) return;
    const { replayed } = line.catchesUp;
    line.catchesUp = null;
    this.emit("connection", { phase: "resumed", replayed });
  }

  _become(state, frame) {
    const me = this._session.userId;
    const before = invitation(this.state, me);
    const line = this._line;
    this.state = state;
    if (isEvent(frame)) this.emit("frame", frame);
    if (line !== this._line) return; // a listener has closed us
    this.emit("state", state.room, frame);
    if (frame.type === "audience") this.emit("audience", frame.data);
    const invited = invitation(state, me);
    const isNews = invited && (!before || before.expires_at !== invited.expires_at);
    if (isNews) this.emit("invited", invited);
    if (MINE[frame.type] && frame.data.user_id === me) this.emit(MINE[frame.type], frame.data);
  }
}

/** The frame, or null for what is none. */
function parse(text) {
  try {
    const frame = JSON.parse(text);
    return frame && typeof frame === "object" ? frame : null;
  } catch (error) {
    return null;
  }
}
