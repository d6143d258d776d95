// Gifts that nobody has answered: asked for until each has its answer, which is said when it comes.

import { problem, say } from "/demo/dom.js";
import { t } from "/demo/words.js";

const AGAIN_MS = 20000;

export class Unanswered {
  constructor(app) {
    this._app = app;
    this._asking = null;
    this._goOn = () => {};
  }

  get count() {
    return this._app.qlive.gifts.pending().length;
  }

  /** Asks at once; resolves when there is an answer to each, however long that takes. */
  ask() {
    if (this._asking) {
      this._app.qlive.gifts.resume();
      this._goOn();
    }
    const done = () => (this._asking = null);
    this._asking = this._asking || this._ask().finally(done);
    return this._asking;
  }

  async _ask() {
    while (this.count) {
      const outcomes = await this._app.qlive.gifts.resume();
      outcomes.forEach(tell);
      if (outcomes.some(({ answer }) => answer)) this._app.refreshSoon();
      // A login that has ended is a question for the door, not for the gift.
      if (!outcomes.some(({ error }) => error?.name === "Unanswered")) return;
      await new Promise((go) => {
        this._goOn = go;
        setTimeout(go, AGAIN_MS);
      });
    }
  }
}

function tell({ answer, error }) {
  if (answer) say(t("gift_arrived"));
  else if (error.name !== "Unanswered") say(problem(error), "bad"); // who gave it has been told
}
