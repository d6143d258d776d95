// Retries gifts without a response until each has one, and shows the outcome.

import { showToast } from "/demo/shared/toast.js";
import { errorText, t } from "/demo/i18n.js";

const RETRY_MS = 20000;

export class PendingGifts {
  constructor(app) {
    this._app = app;
    this._retrying = null;
    this._endDelay = () => {};
  }

  get count() {
    return this._app.qlive.gifts.pending().length;
  }

  /** Retries at once; resolves when no gift is pending, however long that takes. */
  retry() {
    if (this._retrying) {
      this._app.qlive.gifts.resume();
      this._endDelay();
    }
    const done = () => (this._retrying = null);
    this._retrying = this._retrying || this._retryAll().finally(done);
    return this._retrying;
  }

  async _retryAll() {
    while (this.count) {
      const outcomes = await this._app.qlive.gifts.resume();
      outcomes.forEach(showOutcome);
      // Stop if the session has ended: the login page is shown instead.
      if (!outcomes.some(({ error }) => error?.name === "Unanswered")) return;
      await new Promise((resolve) => {
        this._endDelay = resolve;
        setTimeout(resolve, RETRY_MS);
      });
    }
  }
}

function showOutcome({ answer, error }) {
  if (answer) showToast(t("gift_arrived"));
  else if (error.name !== "Unanswered") showToast(errorText(error), "bad"); // Unanswered was already shown to the sender
}
