// The overview of the night, looked at every 15 seconds whatever page is open, and today's gold as
// it grew in the last half hour.

import { get } from "/ops/api.js";
import { recall, remember } from "/ops/metrics.js";

const EVERY = 15_000;
const STORED = "qlive.ops.gold";

export class Today {
  constructor() {
    this.rows = recall(STORED);
    this._listeners = new Set();
  }

  start() {
    this._timer ??= setInterval(() => document.hidden || this.look(), EVERY);
  }

  stop() {
    clearInterval(this._timer);
    this._timer = undefined;
  }

  /** `act(seen, no)`: what was seen, or the Refused instead. */
  onLook(act) {
    this._listeners.add(act);
    return () => this._listeners.delete(act);
  }

  async look() {
    if (this._looking) return;
    this._looking = true;
    let [seen, trouble] = [null, null];
    try {
      seen = await get("overview");
      this.rows.push({ at: new Date(seen.at).getTime(), sold: seen.today.sold.gold, given: seen.today.given.gold });
      remember(STORED, this.rows);
    } catch (no) {
      trouble = no;
    } finally {
      this._looking = false;
    }
    for (const act of this._listeners) act(seen, trouble);
  }
}
