// Login session, stored so that it survives an app restart.

const KEY = "qlive.session";

export class Session {
  constructor(platform, onSignedOut) {
    this._storage = platform.storage;
    this._onSignedOut = onSignedOut;
    const stored = this._storage.get(KEY) || {};
    this.token = stored.token || "";
    this.userId = stored.user_id || "";
    this.sdkAppId = stored.sdk_app_id || ""; // of Tencent IM
  }

  save({ token, user_id, sdk_app_id }) {
    this.token = token;
    this.userId = user_id;
    this.sdkAppId = sdk_app_id;
    this._storage.set(KEY, { token, user_id, sdk_app_id });
  }

  clear() {
    this.token = this.userId = "";
    this._storage.remove(KEY);
  }

  /** Handles a refused token; a refusal of an earlier token is ignored. */
  tokenRefused(token, reason) {
    if (token !== this.token) return;
    // log_in_again: the token is still valid, but the request needs a recent login.
    if (token && reason.code !== "log_in_again") this.clear();
    this._onSignedOut(reason);
  }
}
