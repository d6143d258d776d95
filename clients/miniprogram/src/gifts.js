// Gifts, each with a request_id made once and kept in storage until the server has answered: asked
// again after a lost answer, or after a restart of the app, it is still given once.

import { pauseAsked } from "./backoff.js";
import { Refused, Unanswered } from "./errors.js";

const KEY = "qlive.gifts";
const PATIENCE_MS = 60000;

export class Gifts {
  /** `call(params)` is one push_gift. */
  constructor(platform, session, call, patienceMs) {
    this._platform = platform;
    this._session = session;
    this._call = call;
    this._patience = patienceMs || PATIENCE_MS;
    this._asking = new Map(); // request_id -> promise: nobody asks for one gift twice at a time
    this._waiting = new Map(); // request_id -> asks at once, where nobody wants it later
    this._givenUp = new Set();
  }

  /** Gives it; Refused when the server says no, Unanswered when patience ends. */
  async push({ user_id, gift_id, num }) {
    const owner = this._session.userId;
    if (!owner) throw new Refused({ status: 401, code: "token", detail: "Please log in." });
    const wish = { user_id, gift_id, num: num === undefined ? 1 : num };
    const request_id = newId(this._platform);
    const gift = Object.assign({ request_id, owner, at: this._platform.now() }, wish);
    this._write(this._read().concat([gift]));
    return this._ask(gift);
  }

  /** This person's gifts that have no answer yet, the oldest first. */
  pending() {
    return this._read().filter((gift) => gift.owner === this._session.userId);
  }

  /**
   * Asks for all of them again, at once (there is a network again); `{gift, answer}` or
   * `{gift, error}` for each.
   */
  resume() {
    for (const ask of this._waiting.values()) ask();
    const ask = (gift) =>
      this._ask(gift).then(
        (answer) => ({ gift, answer }),
        (error) => ({ gift, error }),
      );
    return Promise.all(this.pending().map(ask));
  }

  /** Gives one up. It may have been given: only the server knows. */
  forget(request_id) {
    this._givenUp.add(request_id);
    this._drop(request_id);
  }

  _drop(request_id) {
    this._write(this._read().filter((gift) => gift.request_id !== request_id));
  }

  _ask(gift) {
    const id = gift.request_id;
    if (!this._asking.has(id)) {
      const done = () => this._asking.delete(id);
      const asking = this._askOn(gift);
      this._asking.set(id, asking);
      asking.then(done, done);
    }
    return this._asking.get(id);
  }

  async _askOn(gift) {
    const { request_id, user_id, gift_id, num, owner } = gift;
    const until = this._platform.now() + this._patience;
    for (let failures = 0; ; failures++) {
      try {
        const answer = await this._call({ user_id, gift_id, num, request_id });
        this._drop(request_id);
        return answer;
      } catch (error) {
        if (!isOpen(error)) {
          if (error.status !== 401) this._drop(request_id);
          throw error;
        }
        const asked = error.name === "Refused" ? error.retryAfter * 1000 : 0;
        const wait = pauseAsked(failures, asked, this._platform.random);
        if (this._platform.now() + wait > until) throw new Unanswered(gift, error);
        await this._wait(request_id, wait, asked > 0);
        // Meanwhile somebody else may have logged in, who shall not pay for it.
        const givenUp = this._givenUp.has(request_id);
        if (givenUp || this._session.userId !== owner) throw new Unanswered(gift, error);
      }
    }
  }

  /** Until the time is over, or somebody resumes; a wait that the server wants is kept. */
  _wait(request_id, ms, wanted) {
    return new Promise((go) => {
      const timer = this._platform.setTimeout(() => end(), ms);
      const end = () => {
        this._platform.clearTimeout(timer);
        this._waiting.delete(request_id);
        go();
      };
      if (!wanted) this._waiting.set(request_id, end);
    });
  }

  _read() {
    return this._platform.storage.get(KEY) || [];
  }

  // Always of what is there now: another page may have written meanwhile.
  _write(gifts) {
    if (gifts.length) this._platform.storage.set(KEY, gifts);
    else this._platform.storage.remove(KEY);
  }
}

/** Whether it is still open what became of it: nobody answered, or "later". */
function isOpen(error) {
  if (error.name === "Unreachable") return true;
  return error.name === "Refused" && (error.status === 429 || error.status >= 500);
}

/** Not guessable is not needed, only new: ids count per sender. */
function newId(platform) {
  let id = platform.now().toString(36);
  for (let n = 0; n < 3; n++) id += "-" + Math.floor(platform.random() * 0x100000000).toString(36);
  return id;
}
