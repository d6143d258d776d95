// Idempotent gifts: each has a request_id that is stored until the server has responded, so a retry
// after a lost response or an app restart is given once.

import { retryDelay } from "./backoff.js";
import { Refused, Unanswered } from "./errors.js";

const KEY = "qlive.gifts";
const RETRY_MS = 60000;

export class Gifts {
  /** `call(params)` sends one push_gift request. */
  constructor(platform, session, call, retryMs) {
    this._platform = platform;
    this._session = session;
    this._call = call;
    this._retryMs = retryMs || RETRY_MS;
    this._inFlight = new Map(); // request_id -> promise; at most one send loop per gift
    this._retryNow = new Map(); // request_id -> ends the retry delay, unless the server set it
    this._forgotten = new Set();
  }

  /**
   * Sends a gift; throws Refused if the server refuses it, Unanswered after the retry time.
   *
   * After a refusal with the code confirmation_needed, ask the user, and push it again with
   * `confirm: true`.
   */
  async push({ user_id, gift_id, num, confirm }) {
    const owner = this._session.userId;
    if (!owner) throw new Refused({ status: 401, code: "token", detail: "Please log in." });
    const params = { user_id, gift_id, num: num === undefined ? 1 : num };
    if (confirm) params.confirm = true;
    const request_id = newId(this._platform);
    const gift = Object.assign({ request_id, owner, at: this._platform.now() }, params);
    this._store(this._load().concat([gift]));
    return this._send(gift);
  }

  /** The user's gifts without a response, oldest first. */
  pending() {
    return this._load().filter((gift) => gift.owner === this._session.userId);
  }

  /**
   * Retries all pending gifts immediately, for example after the network is back.
   *
   * Resolves with `{gift, answer}` or `{gift, error}` for each.
   */
  resume() {
    for (const endDelay of this._retryNow.values()) endDelay();
    const retry = (gift) =>
      this._send(gift).then(
        (answer) => ({ gift, answer }),
        (error) => ({ gift, error }),
      );
    return Promise.all(this.pending().map(retry));
  }

  /** Stops retrying a gift and removes it from storage; the server may already have executed it. */
  forget(request_id) {
    this._forgotten.add(request_id);
    this._remove(request_id);
  }

  _remove(request_id) {
    this._store(this._load().filter((gift) => gift.request_id !== request_id));
  }

  _send(gift) {
    const id = gift.request_id;
    if (!this._inFlight.has(id)) {
      const done = () => this._inFlight.delete(id);
      const promise = this._sendWithRetries(gift);
      this._inFlight.set(id, promise);
      promise.then(done, done);
    }
    return this._inFlight.get(id);
  }

  async _sendWithRetries(gift) {
    const { request_id, user_id, gift_id, num, confirm, owner } = gift;
    const params = Object.assign({ user_id, gift_id, num, request_id }, confirm && { confirm });
    const deadline = this._platform.now() + this._retryMs;
    for (let failures = 0; ; failures++) {
      try {
        const answer = await this._call(params);
        this._remove(request_id);
        return answer;
      } catch (error) {
        if (!isUnanswered(error)) {
          if (error.status !== 401) this._remove(request_id);
          throw error;
        }
        const retryAfterMs = error.name === "Refused" ? error.retryAfter * 1000 : 0;
        const delay = retryDelay(failures, retryAfterMs, this._platform.random);
        if (this._platform.now() + delay > deadline) throw new Unanswered(gift, error);
        await this._delay(request_id, delay, retryAfterMs > 0);
        // Another user may have logged in meanwhile; they must not pay for this gift.
        const forgotten = this._forgotten.has(request_id);
        if (forgotten || this._session.userId !== owner) throw new Unanswered(gift, error);
      }
    }
  }

  /** Resolves after `ms`, or earlier on resume() unless the server set the delay. */
  _delay(request_id, ms, byServer) {
    return new Promise((resolve) => {
      const timer = this._platform.setTimeout(() => end(), ms);
      const end = () => {
        this._platform.clearTimeout(timer);
        this._retryNow.delete(request_id);
        resolve();
      };
      if (!byServer) this._retryNow.set(request_id, end);
    });
  }

  _load() {
    return this._platform.storage.get(KEY) || [];
  }

  // Callers reload the list before each write, because another page may have changed it.
  _store(gifts) {
    if (gifts.length) this._platform.storage.set(KEY, gifts);
    else this._platform.storage.remove(KEY);
  }
}

/** Whether the outcome is unknown: no response, rate limited or a server error. */
function isUnanswered(error) {
  if (error.name === "Unreachable") return true;
  return error.name === "Refused" && (error.status === 429 || error.status >= 500);
}

/** Unique per sender; does not have to be unguessable. */
function newId(platform) {
  let id = platform.now().toString(36);
  for (let n = 0; n < 3; n++) id += "-" + Math.floor(platform.random() * 0x100000000).toString(36);
  return id;
}
