// Reconnect and retry delays in milliseconds; pure functions.

export const BASE_MS = 500;
export const MAX_MS = 20000;
export const MIN_MS = 100;
export const STABLE_MS = 30000; // live time after which earlier failures no longer count
export const MINUTE_MS = 60000;
export const ATTEMPTS_PER_MINUTE = 10;

/** Exponential backoff with full jitter: half a second, doubling per failure, at most 20 s. */
export function backoffDelay(failures, random) {
  const max = Math.min(MAX_MS, BASE_MS * Math.pow(2, Math.min(failures, 10)));
  return Math.max(MIN_MS, Math.round(random() * max));
}

/**
 * Backoff that respects the server's retry delay, if there is one.
 *
 * After the first failure the server's delay alone applies, because the server already spreads
 * its clients over time with it; later delays are the longer of the two.
 */
export function retryDelay(failures, retryAfterMs, random) {
  if (!(retryAfterMs > 0)) return backoffDelay(failures, random);
  if (failures === 0) return Math.max(MIN_MS, retryAfterMs);
  return Math.max(retryAfterMs, backoffDelay(failures, random));
}

/**
 * Extends `delay` where it would be the eleventh attempt within a minute.
 *
 * Without this limit, short random delays would flood a server that accepts and closes at once.
 */
export function limitAttempts(delay, attempts, now) {
  if (attempts.length < ATTEMPTS_PER_MINUTE) return delay;
  const allowedAt = attempts[attempts.length - ATTEMPTS_PER_MINUTE] + MINUTE_MS;
  return Math.max(delay, allowedAt - now);
}
