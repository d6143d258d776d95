// Polls the overview every 15 seconds.

import { get } from "/ops/api.js";

const POLL_MS = 15_000;

export class OverviewPoller {
  constructor() {
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
    } catch (caught) {
      error = caught;
    } finally {
      this._polling = false;
    }
    for (const listener of this._listeners) listener(overview, error);
  }
}
