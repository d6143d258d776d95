// Polls the overview every 15 seconds, and keeps the history of today's gold for half an hour.

import { get } from "/ops/api.js";
import { recall, remember } from "/ops/metrics.js";

const POLL_MS = 15_000;
const STORAGE_KEY = "qlive.ops.gold";

export class OverviewPoller {
  constructor() {
    this.rows = recall(STORAGE_KEY);
    this._listeners = new Set();
  }

  start() {
    this._timer ??= setInterval(() => document.hidden || this.poll(), POLL_MS);
  }

  stop() {
    clearInterval(this._timer);
    this._timer = undefined;
  }

  /** `listener(overview, error)`: one of the two is null. */
  onOverview(listener) {
    this._listeners.add(listener);
    return () => this._listeners.delete(listener);
  }

  async poll() {
    if (this._polling) return;
    this._polling = true;
    let [overview, error] = [null, null];
    try {
      overview = await get("overview");
      this.rows.push({ at: new Date(overview.at).getTime(), sold: overview.today.sold.gold, given: overview.today.given.gold });
      remember(STORAGE_KEY, this.rows);
    } catch (caught) {
      error = caught;
    } finally {
      this._polling = false;
    }
    for (const listener of this._listeners) listener(overview, error);
  }
}
