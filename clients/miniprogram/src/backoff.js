// Reconnect and retry delays in milliseconds; pure functions of the table in reconnect.js.

import { RECONNECT } from "./reconnect.js";

const MINUTE_MS = 60000;
const MAX_DOUBLINGS = 10; // keeps the product finite

/** Exponential backoff with full jitter. */
export function backoffDelay(failures, random) {
  const max = Math.min(RECONNECT.max_ms, RECONNECT.base_ms * Math.pow(2, Math.min(failures, MAX_DOUBLINGS)));
  return Math.max(RECONNECT.min_ms, Math.round(random() * max));
}

/**
 * Backoff that respects the server's retry delay, if there is one.
 *
 * After the first failure the server's delay alone applies, because the server already spreads
 * its clients over time with it; later delays are the longer of the two.
 */
export function retryDelay(failures, retryAfterMs, random) {
  if (!(retryAfterMs > 0)) return backoffDelay(failures, random);
  if (failures === 0) return Math.max(RECONNECT.min_ms, retryAfterMs);
  return Math.max(retryAfterMs, backoffDelay(failures, random));
}

/** Extends `delay` where it would exceed the attempts of a minute; `attempts` are their times. */
export function limitAttempts(delay, attempts, now) {
  const most = RECONNECT.attempts_per_minute;
  if (attempts.length < most) return delay;
  return Math.max(delay, attempts[attempts.length - most] + MINUTE_MS - now);
}

/** Whether a client does not reconnect after this close code; `token_code` is for the caller. */
export function isFinal(code) {
  return code >= RECONNECT.final_from && code <= RECONNECT.final_to;
}
