// SDK client: login, API calls, idempotent gifts and rooms.

import { CALLS } from "./calls.js";
import { Emitter } from "./emitter.js";
import { Gifts } from "./gifts.js";
import { Http } from "./http.js";
import { browserPlatform } from "./platform-browser.js";
import { wxPlatform } from "./platform-wx.js";
import { Session } from "./session.js";
import { RoomSocket } from "./socket.js";

export { CALLS } from "./calls.js";
export { Gap, Refused, Unanswered, Unreachable } from "./errors.js";
export { begin, fold, invitation } from "./fold.js";
export { browserPlatform } from "./platform-browser.js";
export { wxPlatform } from "./platform-wx.js";
export { RoomSocket } from "./socket.js";
export { storageOver } from "./storage.js";

/** `base` is the URL of the API, as in https://example.com/wx/api/qlive */
export function createClient({ base, platform, giftPatienceMs }) {
  const address = String(base).replace(/\/+$/, "");
  if (!/^https?:\/\/[^/]/.test(address)) throw new TypeError("base must begin with http(s)://");
  return new Client(address, platform || detectPlatform(), giftPatienceMs);
}

class Client extends Emitter {
  constructor(base, platform, giftPatienceMs) {
    super(platform.setTimeout);
    this._base = base;
    this._platform = platform;
    this._session = new Session(platform, (reason) => this.emit("signedOut", reason));
    this._http = new Http(platform, base, this._session);
    const sendGift = (params) => this._http.call("pushGift", params);
    this.gifts = new Gifts(platform, this._session, sendGift, giftPatienceMs);
  }

  get token() {
    return this._session.token;
  }

  get userId() {
    return this._session.userId;
  }

  /** Logs in with the code of wx.login; status 1 is an unknown user, who needs `createUser`. */
  async login(params) {
    const answer = await this._http.call("login", params);
    if (answer.status === 0) this._session.save(answer);
    return answer;
  }

  async createUser(params) {
    const answer = await this._http.call("createUser", params);
    this._session.save(answer);
    return answer;
  }

  async logout() {
    const { token } = this;
    const answer = await this._http.call("logout");
    if (this.token === token) this._session.clear();
    return answer;
  }

  /** Retried with the same request_id until the server responds or the retry time is over. */
  pushGift(params) {
    return this.gifts.push(params);
  }

  /** Orders gold. The order keeps the user's system: a purchase on iOS is refunded by Apple only. */
  pay(params) {
    const platform = this._platform.system && this._platform.system();
    return this._http.call("pay", platform ? { platform, ...params } : params);
  }

  /**
   * Shows WeChat's page on which the user confirms a withdrawal.
   *
   * Resolves with the first page of withdrawals. That WeChat showed its page proves nothing: the
   * money has been paid when the withdrawal's state is `paid`.
   */
  async confirmWithdrawal({ mch_id, app_id, package_info }) {
    const show = this._platform.confirmTransfer;
    if (!show) throw new Error("only WeChat can confirm a withdrawal");
    if (!package_info) throw new Error("the withdrawal does not wait for its user");
    await show({ mchId: mch_id, appId: app_id, package: package_info });
    return this.withdrawals();
  }

  /** Socket of a room that the user has entered with `getPlayurl`; `open()` connects it. */
  room(live_id) {
    return new RoomSocket(this._platform, this._base, this._session, live_id);
  }
}

for (const name of Object.keys(CALLS)) {
  if (name in Client.prototype) continue;
  Client.prototype[name] = function (params) {
    return this._http.call(name, params);
  };
}

function detectPlatform() {
  const inMiniProgram = typeof wx !== "undefined" && wx.connectSocket;
  return inMiniProgram ? wxPlatform() : browserPlatform();
}
