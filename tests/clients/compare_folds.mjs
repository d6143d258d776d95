// Folds the events from each snapshot and compares with every later one of the live session: node
// compare_folds.mjs FILE, with [{"snapshots": [frame], "events": [frame]}]. Prints the number of
// comparisons.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import { begin, fold } from "../../clients/miniprogram/src/fold.js";
import { comparable } from "./comparable.mjs";

let compared = 0;
for (const { snapshots, events } of JSON.parse(readFileSync(process.argv[2], "utf8"))) {
  const later = new Map(snapshots.map((snapshot) => [snapshot.seq, comparable(snapshot.data)]));
  for (const snapshot of snapshots) {
    let state = begin(snapshot);
    for (const event of events.slice(snapshot.seq)) {
      state = fold(state, event);
      if (!later.has(state.seq)) continue;
      assert.deepEqual(comparable(state.room), later.get(state.seq), JSON.stringify(event));
      compared += 1;
    }
  }
}
console.log(compared);
