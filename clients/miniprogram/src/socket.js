// Socket of a room or of the user's channel: reconnects, resumes at its last sequence number and
// detects gaps.

import { isFinal, limitAttempts, retryDelay } from "./backoff.js";
import { Emitter } from "./emitter.js";
import { Gap } from "./errors.js";
import { isEvent } from "./fold.js";
import { queryString } from "./http.js";
import { Connection } from "./connection.js";
import { RECONNECT } from "./reconnect.js";

const CLOSED_BY_CLIENT = 1000;
const REPLACED = 4509;
const ONE_WAKE_MS = 1000; // the app is shown and the network is back: one reason for a second connection
const RACE_MS = 5000; // after a second connection, a replaced one was probably replaced by it

export class ResumingSocket extends Emitter {
  /** `key` is what the URL says of it, `begin` and `fold` make its state of frames; subclasses `_show` it. */
  constructor({ platform, base, session, log }, name, key, begin, fold) {
    super(platform.setTimeout);
    this.on("connection", (connection) => log("info", name, { ...key, ...connection }));
    this.state = null; // with epoch and seq
    this._key = key;
    this._begin = begin;
    this._fold = fold;
    this._platform = platform;
    this._url = base.replace(/^http/, "ws") + "/ws/";
    this._session = session;
    this._opened = false;
    this._connection = null; // the current connection
    this._candidate = null; // a second connection, begun because the current one may be dead
    this._candidateAt = -Infinity; // time of the last one
    this._timer = null; // of the next attempt
    this._attempts = []; // times of the latest attempts
    this._failures = 0; // since the last stable connection
    this._renewedToken = null; // of the last sign-in after a refused one
    this._retryNotBefore = 0; // from the retry delay of the last bye
    this._needsSnapshot = false; // resume without a position: the stored one cannot be continued
    this._lastGap = null;
    this._removeWakeListener = () => {};
  }

  /** Connects and stays connected until either side closes; after a new login it resumes. */
  open() {
    if (this._opened) return;
    this._opened = true;
    if (this._platform.onWake) this._removeWakeListener = this._platform.onWake(() => this.wake());
    this._scheduleConnect(0);
  }

  /** Closes the socket. To leave a room, call `leaveRoom`. */
  close() {
    if (this._opened) this._end(CLOSED_BY_CLIENT, "left");
  }

  /**
   * The device woke up or is online again; timers may have been suspended meanwhile.
   *
   * The connection may be dead without knowing. A second one is opened beside it, and the first of
   * the two that answers stays.
   */
  wake() {
    if (this._connection) this._connection.probe(); // ends one that was silent for too long
    if (!this._opened) return;
    if (this._connection) this._openCandidate();
    else this._scheduleConnect(Math.max(RECONNECT.min_ms, this._retryNotBefore - this._platform.now()));
  }

  // ---- connection

  _scheduleConnect(minDelay) {
    this._platform.clearTimeout(this._timer);
    const delay = limitAttempts(minDelay, this._attempts, this._platform.now());
    if (delay > 0) this._timer = this._platform.setTimeout(() => this._connect(), delay);
    else this._connect();
    return delay;
  }

  _connect() {
    this._timer = null;
    if (this._connection) return;
    this.emit("connection", { phase: "connecting", attempt: this._failures });
    if (!this._opened || this._connection) return; // changed by a listener
    this._connection = this._newConnection();
  }

  /** Where to resume, as the URL says it. */
  _position() {
    const { state } = this;
    return state && !this._needsSnapshot ? { epoch: state.epoch, since: state.seq } : {};
  }

  _newConnection(more) {
    const now = this._platform.now();
    this._attempts = this._attempts.concat([now]).slice(-RECONNECT.attempts_per_minute);
    const position = this._position();
    const url = this._url + queryString(Object.assign({}, this._key, position, more));
    const connection = new Connection(this._platform, url, this._session.token, {
      onMessage: (text) => this._onMessage(connection, text),
      onLost: (code, reason) => this._onLost(connection, code, reason, 0),
    });
    connection.since = position.since;
    return connection;
  }

  _openCandidate() {
    const isTooMany = limitAttempts(0, this._attempts, this._platform.now()) > 0;
    if (isTooMany || (this._candidate && this._candidate.ageMs < ONE_WAKE_MS)) return;
    this._dropCandidate();
    this._candidateAt = this._platform.now();
    this._candidate = this._newConnection();
  }

  _dropCandidate() {
    if (this._candidate) this._candidate.close();
    this._candidate = null;
  }

  /** Reconnects after a lost connection, unless the code is final or there is a second connection. */
  _onLost(connection, code, reason, retryAfterMs) {
    connection.close();
    const isRace = connection.isOlderThan(this._candidateAt) && this._platform.now() < this._candidateAt + RACE_MS;
    const wasReplacedByUs = code === REPLACED && isRace;
    const isEnd = isFinal(code) && !wasReplacedByUs;
    const candidate = this._candidate;
    if (candidate && !isEnd) {
      this._candidate = null;
      if (connection !== candidate) this._connection = candidate;
      return;
    }
    if (isEnd) return this._end(code, reason);
    this._connection = null;
    // A new login may have replaced the token since this connection was opened.
    const hasNewToken = this._session.token && this._session.token !== connection.token;
    if (code === RECONNECT.token_code && !hasNewToken) {
      return this._onTokenRefused(connection, code, reason);
    }
    if (connection.liveMs >= RECONNECT.stable_ms || wasReplacedByUs) this._failures = 0;
    this._reconnect(code, reason, retryAfterMs);
  }

  _reconnect(code, reason, retryAfterMs) {
    this._retryNotBefore = this._platform.now() + retryAfterMs;
    const backoff = retryDelay(this._failures, retryAfterMs, this._platform.random);
    this._failures += 1;
    const delay = this._scheduleConnect(backoff);
    const attempt = this._failures;
    this.emit("connection", { phase: "reconnecting", attempt, delay, code, reason });
  }

  /** Resumes after a new sign-in, if the client signs in by itself; else the socket is closed. */
  _onTokenRefused({ token, live }, code, reason) {
    const session = this._session;
    if (token === this._renewedToken && !live) return this._end(code, reason); // the new one is refused, too
    if (session.signsInAgain) {
      const attempt = this._failures + 1;
      this.emit("connection", { phase: "reconnecting", attempt, delay: 0, code, reason });
    } else this._end(code, reason);
    const refusal = { name: "Refused", status: 401, code: "token" };
    const signIn = session.tokenRefused(token, refusal).catch(() => {}); // each call reports its own
    signIn.then((isReplaced) => {
      if (!this._opened || this._connection) return; // closed, or woken up meanwhile
      if (isReplaced) {
        this._renewedToken = session.token;
        this._scheduleConnect(0);
      } else if (session.token) this._reconnect(code, reason, 0); // the sign-in had no answer
      else this._end(code, reason);
    });
  }

  _end(code, reason) {
    this._opened = false;
    this._candidateAt = -Infinity;
    this._replaceConnection(null);
    this._removeWakeListener();
    this.emit("connection", { phase: "closed", code, reason });
  }

  /** Ends the connection, a second one and the next attempt in favour of this connection. */
  _replaceConnection(connection) {
    if (this._connection) this._connection.close();
    this._connection = connection;
    this._dropCandidate();
    this._platform.clearTimeout(this._timer);
    this._timer = null;
  }

  // ---- frames

  _onMessage(connection, text) {
    const frame = parse(text);
    if (!frame) return;
    if (connection.isAnswer(frame)) this._keep(connection);
    this._receive(connection, frame);
  }

  _receive(connection, frame) {
    // _setState emits numbered events: one beyond a gap arrives again after the resume.
    if (!isEvent(frame)) this.emit("frame", frame);
    if (connection !== this._connection && connection !== this._candidate) return; // closed by a listener
    try {
      this._handleFrame(connection, frame);
    } catch (error) {
      if (error.name !== "Gap") throw error;
      // The same gap twice: resuming there would loop forever, so request a snapshot.
      const gap = this.state ? this.state.epoch + "/" + this.state.seq : "";
      if (this._lastGap === gap) this._needsSnapshot = true;
      this._lastGap = gap;
      this._onLost(connection, 0, "gap", 0);
    }
  }

  /** Ends the race of two connections: this one has answered. */
  _keep(connection) {
    if (!this._candidate) return;
    if (connection === this._candidate) {
      this._connection.close();
      this._connection = connection;
      this._candidate = null;
    } else this._dropCandidate();
  }

  _handleFrame(connection, frame) {
    if (frame.type === "bye") {
      this._onLost(connection, frame.code, frame.reason, frame.retry_ms > 0 ? frame.retry_ms : 0);
    } else if (frame.type === "snapshot") {
      connection.markLive();
      // One that was not asked for is of a connection that began before there was a state: the other
      // one of two connections may have got further.
      const { state } = this;
      const isAskedFor = !state || frame.reset || this._needsSnapshot;
      const isOld = !isAskedFor && frame.epoch === state.epoch && frame.seq < state.seq;
      this._needsSnapshot = false;
      if (!isOld) this._setState(this._begin(frame), frame);
      const reset = frame.reset || null;
      if (connection === this._connection) this.emit("connection", { phase: "live", reset });
    } else if (frame.type === "resumed") {
      this._resume(connection, frame);
    } else if (connection.live) {
      const next = this._fold(this.state, frame);
      if (next !== this.state) this._setState(next, frame);
      this._reportResumed(connection);
    }
  }

  _resume(connection, frame) {
    const { state } = this;
    const since = frame.seq - frame.replayed; // the other one of two connections may have got further
    if (!state || frame.epoch !== state.epoch || since !== connection.since) {
      this._needsSnapshot = true;
      throw new Gap(state ? state.seq : "nothing", frame.seq);
    }
    connection.replay = { seq: frame.seq, replayed: frame.replayed };
    connection.markLive();
    this._reportResumed(connection);
  }

  _reportResumed(connection) {
    const { replay } = connection;
    if (connection !== this._connection || !replay || this.state.seq < replay.seq) return;
    connection.replay = null;
    this.emit("connection", { phase: "resumed", replayed: replay.replayed });
  }

  _setState(state, frame) {
    const previous = this.state;
    const connection = this._connection;
    this.state = state;
    if (isEvent(frame)) this.emit("frame", frame);
    if (connection === this._connection) this._show(previous, frame); // or a listener closed the socket
  }
}

/** The parsed frame, or null if the text is not one. */
function parse(text) {
  try {
    const frame = JSON.parse(text);
    return frame && typeof frame === "object" ? frame : null;
  } catch (error) {
    return null;
  }
}
