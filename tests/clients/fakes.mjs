// A phone without a network and with a clock of its own: what it is asked waits for the test.

export class Clock {
  constructor() {
    this.now = 1_000_000;
    this._timers = [];
  }

  setTimeout = (run, ms) => {
    const timer = { run, at: this.now + ms };
    this._timers.push(timer);
    return timer;
  };

  clearTimeout = (timer) => {
    this._timers = this._timers.filter((other) => other !== timer);
  };

  /** When the next timer is due; Infinity when there is none. */
  get next() {
    return Math.min(Infinity, ...this._timers.map(({ at }) => at));
  }

  /** Lets time pass; what is due happens in its order. */
  pass(ms) {
    const until = this.now + ms;
    while (this.next <= until) this.run();
    this.now = until;
  }

  /** Lets time pass up to the next timer, and runs it. */
  run() {
    const timer = this._timers.reduce((one, other) => (other.at < one.at ? other : one));
    this.clearTimeout(timer);
    this.now = Math.max(this.now, timer.at);
    timer.run();
  }
}

export class FakeSocket {
  constructor(url, headers) {
    Object.assign(this, { url, headers, sent: [], closed: false });
  }

  onOpen(ear) {
    this.open = ear;
  }

  onMessage(ear) {
    this.say = (frame) => ear(typeof frame === "string" ? frame : JSON.stringify(frame));
  }

  onClose(ear) {
    this.end = (code = 1006) => ear({ code, reason: "" });
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.closed = true;
  }
}

export class FakePhone {
  constructor({ random = () => 0.5, socketHeaders = true, kept = new Map() } = {}) {
    this.clock = new Clock();
    this.sockets = [];
    this.asked = [];
    this.answers = [];
    this.kept = kept;
    this.onSocket = () => {};
    this.platform = {
      socketHeaders,
      request: async (wish) => {
        this.asked.push(wish);
        const answer = this.answers.shift();
        if (answer === undefined) throw new Error("nobody answers");
        return answer;
      },
      connectSocket: (url, { headers }) => {
        const socket = new FakeSocket(url, headers);
        this.sockets.push(socket);
        this.onSocket(socket);
        return socket;
      },
      storage: {
        get: (key) => JSON.parse(kept.get(key) ?? "null"),
        set: (key, value) => kept.set(key, JSON.stringify(value)),
        remove: (key) => kept.delete(key),
      },
      onWake: (wake) => {
        this.wake = wake;
        return () => {
          this.wake = null;
        };
      },
      now: () => this.clock.now,
      setTimeout: this.clock.setTimeout,
      clearTimeout: this.clock.clearTimeout,
      random,
    };
  }

  get socket() {
    return this.sockets.at(-1);
  }
}

/** Lets everything that waits for no timer happen. */
export async function settled() {
  for (let n = 0; n < 50; n++) await null;
}

/** The same dice every time (mulberry32). */
export function dice(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
