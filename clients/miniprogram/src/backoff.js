// When to come back. Pure: times go in, milliseconds come out.

export const FIRST_MS = 500;
export const LONGEST_MS = 20000;
export const SHORTEST_MS = 100;
export const PEACE_MS = 30000; // so long a connection must have lived for its past to be forgotten
export const MINUTE_MS = 60000;
export const ATTEMPTS_A_MINUTE = 10;

/** A random wait before coming back after that many failures: half a second, doubling, to 20 s. */
export function pause(failures, random) {
  const most = Math.min(LONGEST_MS, FIRST_MS * Math.pow(2, Math.min(failures, 10)));
  return Math.max(SHORTEST_MS, Math.round(random() * most));
}

/**
 * The same, but not before the other side wants it. It spreads its phones over time by what it
 * asks for, so the first time its word alone counts.
 */
export function pauseAsked(failures, askedMs, random) {
  if (!(askedMs > 0)) return pause(failures, random);
  if (failures === 0) return Math.max(SHORTEST_MS, askedMs);
  return Math.max(askedMs, pause(failures, random));
}

/**
 * `delay`, or longer where it would be the eleventh attempt within a minute: who draws short
 * waits only would otherwise storm a server that accepts and closes at once.
 */
export function guarded(delay, attempts, now) {
  if (attempts.length < ATTEMPTS_A_MINUTE) return delay;
  const freeAt = attempts[attempts.length - ATTEMPTS_A_MINUTE] + MINUTE_MS;
  return Math.max(delay, freeAt - now);
}
