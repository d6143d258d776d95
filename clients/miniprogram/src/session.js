// Login session, stored so that it survives an app restart.

const KEY = "qlive.session";

export class Session {
  /**
   * `onSignedOut(reason)` is called when the server requires a new login. `signInAgain(refusal)`, if
   * any, replaces a refused token first; it throws Refused if the user may not sign in. `onEnd()` is
   * called when the user's session ends, for whatever reason.
   */
  constructor(platform, onSignedOut, signInAgain, onEnd) {
    this._storage = platform.storage;
    this._onEnd = onEnd;
    this._onSignedOut = onSignedOut;
    this._signInAgain = signInAgain;
    const stored = this._storage.get(KEY) || {};
    this.token = stored.token || "";
    this.userId = stored.user_id || "";
    this.sdkAppId = stored.sdk_app_id || ""; // of Tencent IM
  }

  /** Whether a refused token is replaced by a sign-in. */
  get signsInAgain() {
    return Boolean(this._signInAgain);
  }

  save({ token, user_id, sdk_app_id }) {
    if (this.userId && this.userId !== user_id) this.clear(); // another user
    this.token = token;
    this.userId = user_id;
    this.sdkAppId = sdk_app_id;
    this._storage.set(KEY, { token, user_id, sdk_app_id });
  }

  clear() {
    this.token = this.userId = "";
    this._storage.remove(KEY);
    this._onEnd();
  }

  /**
   * Handles a refused token; a refusal of an earlier token is ignored.
   *
   * Resolves with whether a sign-in has replaced it; throws the error of the sign-in.
   */
  async tokenRefused(token, reason) {
    // log_in_again: the token is still valid, but the request needs a recent login.
    if (!this.signsInAgain || reason.code === "log_in_again") {
      if (token !== this.token) return false;
      if (token && reason.code !== "log_in_again") this.clear();
      if (!this.signsInAgain) this._onSignedOut(reason);
      return false;
    }
    if (!token) return false; // never signed in, or logged out
    try {
      if (token === this.token) await this._signInAgain(reason);
    } catch (error) {
      if (isFinal(error) && token === this.token) {
        this.clear();
        this._onSignedOut(error);
      }
      throw error;
    }
    return this.token !== "" && this.token !== token;
  }
}

/** Whether a sign-in was refused, rather than not answered. */
function isFinal(error) {
  return error.status > 0 && error.status !== 429 && error.status < 500 && error.name !== "Unreachable";
}
