// A platform without a network and with a manual clock; it records requests and sockets.

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

  /** Due time of the next timer, or Infinity. */
  get next() {
    return Math.min(Infinity, ...this._timers.map(({ at }) => at));
  }

  /** Advances the time and runs due timers in order. */
  advance(ms) {
    const until = this.now + ms;
    while (this.next <= until) this.runNext();
    this.now = until;
  }

  /** Advances the time to the next timer and runs it. */
  runNext() {
    const timer = this._timers.reduce((first, timer) => (timer.at < first.at ? timer : first));
    this.clearTimeout(timer);
    this.now = Math.max(this.now, timer.at);
    timer.run();
  }
}

export class FakeSocket {
  constructor(url, headers) {
    Object.assign(this, { url, headers, sent: [], closed: false });
  }

  onOpen(listener) {
    this.open = listener;
  }

  onMessage(listener) {
    this.receive = (frame) => listener(typeof frame === "string" ? frame : JSON.stringify(frame));
  }

  onClose(listener) {
    this.disconnect = (code = 1006) => listener({ code, reason: "" });
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.closed = true;
  }
}

export class FakeDevice {
  constructor({ random = () => 0.5, socketHeaders = true, stored = new Map() } = {}) {
    this.clock = new Clock();
    this.sockets = [];
    this.requests = [];
    this.responses = [];
    this.stored = stored;
    this.onSocket = () => {};
    this.wakes = new Set();
    this.platform = {
      socketHeaders,
      request: async (request) => {
        this.requests.push(request);
        const response = this.responses.shift();
        if (response === undefined) throw new Error("no response");
        return response;
      },
      connectSocket: (url, { headers }) => {
        const socket = new FakeSocket(url, headers);
        this.sockets.push(socket);
        this.onSocket(socket);
        return socket;
      },
      storage: {
        get: (key) => JSON.parse(stored.get(key) ?? "null"),
        set: (key, value) => stored.set(key, JSON.stringify(value)),
        remove: (key) => stored.delete(key),
      },
      onWake: (wake) => {
        this.wakes.add(wake);
        return () => this.wakes.delete(wake);
      },
      now: () => this.clock.now,
      setTimeout: this.clock.setTimeout,
      clearTimeout: this.clock.clearTimeout,
      random,
    };
  }

  wake() {
    for (const wake of this.wakes) wake();
  }

  get socket() {
    return this.sockets.at(-1);
  }
}

/** Runs everything that waits for promises only. */
export async function flushPromises() {
  for (let n = 0; n < 50; n++) await null;
}

/** Records how the promise settles, without an unhandled rejection. */
export function settle(promise) {
  const outcome = {};
  promise.then((answer) => (outcome.answer = answer), (error) => (outcome.error = error));
  return outcome;
}

/** A reproducible random generator (mulberry32). */
export function seededRandom(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
