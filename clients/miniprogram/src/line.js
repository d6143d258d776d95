// One connection to a room: whom it speaks for, and whether it still lives.

const OPEN_MS = 10000; // for the way to the first frame
const PING_MS = 32000; // heartbeats come every 25 s ± 20 %: after that one has not come
const SILENT_MS = 40000;
const ANSWER_MS = 5000; // for the answer to a question asked out of turn

export class Line {
  /** Tells `heard(text)` and, once, `lost(code, reason)`, until it is hung up. */
  constructor(platform, url, token, { heard, lost }) {
    this.token = token;
    this._platform = platform;
    this._lost = lost;
    this._over = false;
    this._since = this._heardAt = platform.now();
    this._liveAt = null;
    this._pinged = false;
    this._answerBy = Infinity;
    this._socket = null;
    try {
      this._connect(url, heard);
    } catch (error) {
      // No socket to be had: over its limit WeChat gives none, and a browser's may throw. That is a
      // connection lost like any other, which whoever asks is not ready to hear yet.
      platform.setTimeout(() => this._end(0, error.message), 0);
    }
    this.watch();
  }

  _connect(url, heard) {
    const { token, _platform: platform } = this;
    const headers = platform.socketHeaders ? { Authorization: "QLiveToken " + token } : {};
    this._socket = platform.connectSocket(url, { headers });
    this._socket.onOpen(() => {
      if (!platform.socketHeaders) this.say({ type: "auth", token });
    });
    this._socket.onMessage((text) => {
      if (this._over) return;
      this._heardAt = platform.now();
      this._pinged = false;
      this._answerBy = Infinity;
      heard(text);
    });
    this._socket.onClose(({ code, reason }) => this._end(code, reason));
  }

  get live() {
    return this._liveAt !== null;
  }

  /** How long it has been live. */
  get peace() {
    return this.live ? this._platform.now() - this._liveAt : 0;
  }

  goLive() {
    if (!this.live) this._liveAt = this._platform.now();
    if (!this._over) this.watch();
  }

  say(frame) {
    this._socket.send(JSON.stringify(frame));
  }

  hangUp() {
    if (this._over) return;
    this._over = true;
    this._platform.clearTimeout(this._timer);
    if (this._socket) this._socket.close();
  }

  /** Ends a connection on which nothing comes any more; before that, asks whether it lives. */
  watch() {
    this._platform.clearTimeout(this._timer);
    const now = this._platform.now();
    const pingAt = this.live ? this._heardAt + PING_MS : Infinity;
    if (now >= this._deadAt()) {
      this._end(0, "silent");
      return;
    }
    if (now >= pingAt) this._ping();
    const wait = (this._pinged ? this._deadAt() : Math.min(pingAt, this._deadAt())) - now;
    this._timer = this._platform.setTimeout(() => this.watch(), wait);
  }

  /** Asks at once: after a change of networks nothing else would tell for half a minute. */
  doubt() {
    if (this.live && !this._pinged) {
      this._answerBy = this._platform.now() + ANSWER_MS;
      this._ping();
    }
    this.watch();
  }

  _deadAt() {
    if (!this.live) return this._since + OPEN_MS;
    return Math.min(this._heardAt + SILENT_MS, this._answerBy);
  }

  _ping() {
    if (this._pinged) return;
    this._pinged = true;
    this.say({ type: "ping", n: 1 });
  }

  _end(code, reason) {
    if (this._over) return;
    this.hangUp();
    this._lost(code, reason);
  }
}
