// Who is logged in on this phone, kept over a restart of the app.

const KEY = "qlive.session";

export class Session {
  constructor(platform, signedOut) {
    this._storage = platform.storage;
    this._signedOut = signedOut;
    const kept = this._storage.get(KEY) || {};
    this.token = kept.token || "";
    this.userId = kept.user_id || "";
  }

  keep({ token, user_id }) {
    this.token = token;
    this.userId = user_id;
    this._storage.set(KEY, { token, user_id });
  }

  forget() {
    this.token = this.userId = "";
    this._storage.remove(KEY);
  }

  /** The server does not take this token (any more). News of an older one is no news. */
  refused(token, why) {
    if (token !== this.token) return;
    // log_in_again leaves the token good: only a fresh login helps, but nobody is out.
    if (token && why.code !== "log_in_again") this.forget();
    this._signedOut(why);
  }
}
