// One connection to a room: whom it speaks for, and whether it still lives.

const OPEN_MS = 10000; // for the way to the first frame
const PING_MS = 32000; // heartbeats come every 25 s ± 20 %: after that one has not come
const SILENT_MS = 40000;

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
    const headers = platform.socketHeaders ? { Authorization: "QLiveToken " + token } : {};
    this._socket = platform.connectSocket(url, { headers });
    this._socket.onOpen(() => {
      if (!platform.socketHeaders) this.say({ type: "auth", token });
    });
    this._socket.onMessage((text) => {
      if (this._over) return;
      this._heardAt = platform.now();
      this._pinged = false;
      heard(text);
    });
    this._socket.onClose(({ code, reason }) => this._end(code, reason));
    this.watch();
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
    this._socket.close();
  }

  /** Ends a connection on which nothing comes any more; before that, asks whether it lives. */
  watch() {
    this._platform.clearTimeout(this._timer);
    const silent = this._platform.now() - (this.live ? this._heardAt : this._since);
    const patience = this.live ? SILENT_MS : OPEN_MS;
    if (silent >= patience) {
      this._end(0, "silent");
      return;
    }
    const early = this.live && silent < PING_MS;
    if (this.live && !early && !this._pinged) {
      this._pinged = true;
      this.say({ type: "ping", n: 1 });
    }
    const wait = (early ? PING_MS : patience) - silent;
    this._timer = this._platform.setTimeout(() => this.watch(), wait);
  }

  _end(code, reason) {
    if (this._over) return;
    this.hangUp();
    this._lost(code, reason);
  }
}
