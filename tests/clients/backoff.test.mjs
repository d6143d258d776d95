import assert from "node:assert/strict";
import { test } from "node:test";

import { backoffDelay, limitAttempts, retryDelay } from "../../clients/miniprogram/src/backoff.js";

test("the maximum delay doubles from half a second to 20 seconds", () => {
  const longest = [0, 1, 2, 3, 4, 5, 6, 7, 1000].map((failures) => backoffDelay(failures, () => 1));
  assert.deepEqual(longest, [500, 1000, 2000, 4000, 8000, 16000, 20000, 20000, 20000]);
});

test("the delay is random but at least 100 ms", () => {
  assert.equal(backoffDelay(5, () => 0.5), 8000);
  assert.equal(backoffDelay(5, () => 0), 100);
});

test("the first delay is the one the server asks for", () => {
  assert.equal(retryDelay(0, 7000, () => 1), 7000);
  assert.equal(retryDelay(0, 20, () => 1), 100);
});

test("later delays are the longer of the server's and the backoff", () => {
  assert.equal(retryDelay(3, 1000, () => 1), 4000);
  assert.equal(retryDelay(3, 9000, () => 1), 9000);
});

test("a missing or invalid delay from the server is ignored", () => {
  for (const value of [0, undefined, NaN, -5]) assert.equal(retryDelay(2, value, () => 1), 2000);
});

test("the eleventh attempt waits until a minute after the first", () => {
  const attempts = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => 1000 + n * 100);
  assert.equal(limitAttempts(100, attempts, 2000), 59000);
  assert.equal(limitAttempts(100, attempts.slice(1), 2000), 100);
  assert.equal(limitAttempts(100, attempts, 70000), 100);
});
