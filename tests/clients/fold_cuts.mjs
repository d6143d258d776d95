// From each snapshot on, the events lead to every later one: node fold_cuts.mjs FILE, with
// {"cuts": [snapshot], "events": [frame]} as the server said them.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import { begin, fold } from "../../clients/miniprogram/src/fold.js";
import { comparable } from "./comparing.mjs";

const { cuts, events } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const later = new Map(cuts.map((cut) => [cut.seq, comparable(cut.data)]));
let compared = 0;
for (const cut of cuts) {
  let state = begin(cut);
  for (const event of events.slice(cut.seq)) {
    state = fold(state, event);
    if (!later.has(state.seq)) continue;
    assert.deepEqual(comparable(state.room), later.get(state.seq), JSON.stringify(event));
    compared += 1;
  }
}
console.log(compared);
