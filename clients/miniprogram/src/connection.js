// One WebSocket connection to a room, with liveness checks.

const SNAPSHOT_TIMEOUT_MS = 10000; // until the first snapshot or resumed frame
const PING_AFTER_MS = 32000; // heartbeats come every 25 s ± 20 %, so one is overdue
const SILENCE_TIMEOUT_MS = 40000;
const PROBE_TIMEOUT_MS = 5000; // for the response to a probe

export class Connection {
  /** Calls `onMessage(text)` per frame and `onLost(code, reason)` once, until it is closed. */
  constructor(platform, url, token, { onMessage, onLost }) {
    this.token = token;
    this._platform = platform;
    this._onLost = onLost;
    this._closed = false;
    this._openedAt = this._receivedAt = platform.now();
    this._liveAt = null;
    this._pings = 0; // sent so far; the number of the last one
    this._pinged = false; // without a frame since
    this._probeDeadline = Infinity;
    this._socket = null;
    try {
      this._connect(url, onMessage);
    } catch (error) {
      // No socket: wx returns none over its limit, and the browser's constructor may throw.
      // Reported asynchronously, because the caller is still inside this constructor.
      platform.setTimeout(() => this._end(0, error.message), 0);
    }
    this.checkLiveness();
  }

  _connect(url, onMessage) {
    const { token, _platform: platform } = this;
    const headers = platform.socketHeaders ? { Authorization: "QLiveToken " + token } : {};
    this._socket = platform.connectSocket(url, { headers });
    this._socket.onOpen(() => {
      if (this._closed) return this._socket.close(); // a socket that is opening cannot be closed everywhere
      if (!platform.socketHeaders) this.send({ type: "auth", token });
    });
    this._socket.onMessage((text) => {
      if (this._closed) return;
      this._receivedAt = platform.now();
      this._pinged = false;
      onMessage(text);
    });
    this._socket.onClose(({ code, reason }) => this._end(code, reason));
  }

  get live() {
    return this._liveAt !== null;
  }

  /** Milliseconds since the connection became live; 0 before. */
  get liveMs() {
    return this.live ? this._platform.now() - this._liveAt : 0;
  }

  markLive() {
    if (!this.live) this._liveAt = this._platform.now();
    if (!this._closed) this.checkLiveness();
  }

  /** Milliseconds since the connection was begun. */
  get ageMs() {
    return this._platform.now() - this._openedAt;
  }

  /** Whether a frame shows that the connection works now: the first one, or the answer to the last ping. */
  isAnswer({ type, n }) {
    const isAnswer = type === "snapshot" || type === "resumed" || (type === "pong" && n === this._pings);
    if (isAnswer) this._probeDeadline = Infinity;
    return isAnswer;
  }

  /** Whether the connection was begun before a time. */
  isOlderThan(time) {
    return this._openedAt < time;
  }

  send(frame) {
    this._socket.send(JSON.stringify(frame));
  }

  close() {
    if (this._closed) return;
    this._closed = true;
    this._platform.clearTimeout(this._timer);
    if (this._socket) this._socket.close();
  }

  /** Pings a silent connection, and ends it when the deadline has passed. */
  checkLiveness() {
    this._platform.clearTimeout(this._timer);
    const now = this._platform.now();
    const pingAt = this.live ? this._receivedAt + PING_AFTER_MS : Infinity;
    if (now >= this._deadline()) {
      this._end(0, "silent");
      return;
    }
    if (now >= pingAt) this._ping();
    const delay = (this._pinged ? this._deadline() : Math.min(pingAt, this._deadline())) - now;
    this._timer = this._platform.setTimeout(() => this.checkLiveness(), delay);
  }

  /** Pings at once: after a network change, silence would be noticed only after half a minute. */
  probe() {
    if (this.live && this._probeDeadline === Infinity) {
      this._probeDeadline = this._platform.now() + PROBE_TIMEOUT_MS;
      this._pinged = false; // the answer to an earlier one may have been received long ago
      this._ping();
    }
    this.checkLiveness();
  }

  _deadline() {
    if (!this.live) return this._openedAt + SNAPSHOT_TIMEOUT_MS;
    return Math.min(this._receivedAt + SILENCE_TIMEOUT_MS, this._probeDeadline);
  }

  _ping() {
    if (this._pinged) return;
    this._pinged = true;
    this._pings += 1;
    this.send({ type: "ping", n: this._pings });
  }

  _end(code, reason) {
    if (this._closed) return;
    this.close();
    this._onLost(code, reason);
  }
}
