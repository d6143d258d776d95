import assert from "node:assert/strict";
import { test } from "node:test";

import { guarded, pause, pauseAsked } from "../../clients/miniprogram/src/backoff.js";

test("the longest wait doubles from half a second to twenty", () => {
  const most = [0, 1, 2, 3, 4, 5, 6, 7, 1000].map((failures) => pause(failures, () => 1));
  assert.deepEqual(most, [500, 1000, 2000, 4000, 8000, 16000, 20000, 20000, 20000]);
});

test("the wait is anything between, but never under a tenth of a second", () => {
  assert.equal(pause(5, () => 0.5), 8000);
  assert.equal(pause(5, () => 0), 100);
});

test("the first time, the server's word alone counts", () => {
  assert.equal(pauseAsked(0, 7000, () => 1), 7000);
  assert.equal(pauseAsked(0, 20, () => 1), 100);
});

test("after that, the longer of both", () => {
  assert.equal(pauseAsked(3, 1000, () => 1), 4000);
  assert.equal(pauseAsked(3, 9000, () => 1), 9000);
});

test("no word, or a senseless one, is no word", () => {
  for (const none of [0, undefined, NaN, -5]) assert.equal(pauseAsked(2, none, () => 1), 2000);
});

test("the eleventh attempt waits until the first is a minute ago", () => {
  const attempts = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => 1000 + n * 100);
  assert.equal(guarded(100, attempts, 2000), 59000);
  assert.equal(guarded(100, attempts.slice(1), 2000), 100);
  assert.equal(guarded(100, attempts, 70000), 100);
});
