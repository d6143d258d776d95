// Client of the API: sign-in, calls, idempotent gifts, uploads, purchases, rooms and their chat, and
// the user's channel.

import { CALLS } from "./calls.js";
import { UserChannel } from "./channel.js";
import { Chat } from "./chat.js";
import { Emitter } from "./emitter.js";
import { isRefused } from "./errors.js";
import { Gifts } from "./gifts.js";
import { Http } from "./http.js";
import { browserPlatform } from "./platform-browser.js";
import { wxPlatform } from "./platform-wx.js";
import { buy } from "./purchase.js";
import { RoomSocket } from "./room.js";
import { Session } from "./session.js";
import { upload } from "./upload.js";

const AGREED = ["accept", "acceptWithAudio"];

/** `base` is the URL of the API, as in https://example.com/wx/api/qlive; the other options are optional. */
export function createClient(options) {
  const address = String(options.base).replace(/\/+$/, "");
  if (!/^https?:\/\/[^/]/.test(address)) throw new TypeError("base must begin with http(s)://");
  return new Client(address, options);
}

class Client extends Emitter {
  constructor(base, { platform = detectPlatform(), giftPatienceMs, appId, noticeTemplateId, signInAgain, log = () => {} }) {
    super(platform.setTimeout);
    this._appId = appId;
    this._noticeTemplateId = noticeTemplateId;
    this._platform = platform;
    this._log = (...line) => {
      try {
        log(...line);
      } catch (error) {
        platform.setTimeout(() => {
          throw error; // as with listeners: the app's mistake, which must not fail a call
        }, 0);
      }
    };
    const renew = (refusal) => this._signingIn || this._shared("_renewing", () => this._renew(refusal));
    const onSignedOut = (reason) => this.emit("signedOut", reason);
    const onEnd = () => this._channel.signOut();
    this._session = new Session(platform, onSignedOut, signInAgain && platform.login && renew, onEnd);
    this._http = new Http(platform, base, this._session, this._log);
    const sendGift = (params) => this._http.call("pushGift", params);
    this.gifts = new Gifts(platform, this._session, sendGift, giftPatienceMs);
    this._socketContext = { platform, base, session: this._session, log: this._log };
    this._channel = new UserChannel(this._socketContext);
  }

  get token() {
    return this._session.token;
  }

  get userId() {
    return this._session.userId;
  }

  /** Logs in, and registers an unknown user with a profile; calls at the same time share one. */
  signIn(profile) {
    return this._shared("_signingIn", () => this._signIn(profile));
  }

  /** The promise under this name, while it is pending, or that of `action`. */
  _shared(name, action) {
    if (!this[name]) {
      const end = () => (this[name] = null);
      this[name] = action();
      this[name].then(end, end);
    }
    return this[name];
  }

  async _signIn(profile) {
    if (this._renewing) await this._renewing.catch(() => {});
    const params = await this._wechatCode();
    const answer = await this.login(params);
    if (answer.status === 0) return { ...answer, created: false };
    const user = await this.createUser(params); // the server has kept the code's session
    if (profile) await this._http.callUnrenewed("updateUserinfo", profile);
    return { ...user, created: true };
  }

  /** Replaces a refused token. A user who is unknown by now is asked, not registered once more. */
  async _renew(refusal) {
    const answer = await this.login(await this._wechatCode());
    this._log("info", "signed in again", { known: answer.status === 0 });
    if (answer.status !== 0) throw refusal;
  }

  async _wechatCode() {
    const platform = this._platform;
    if (!platform.login) throw new Error("only WeChat can sign in");
    return { appId: this._appId || platform.appId(), code: await platform.login() };
  }

  /** Logs in with the code of wx.login; status 1 is an unknown user, who needs `createUser`. */
  async login(params) {
    const answer = await this._http.callUnrenewed("login", params);
    if (answer.status === 0) this._session.save(answer);
    return answer;
  }

  async createUser(params) {
    const answer = await this._http.callUnrenewed("createUser", params);
    this._session.save(answer);
    return answer;
  }

  async logout() {
    const { token } = this;
    const answer = await this._http.callUnrenewed("logout").catch((error) => {
      if (!isRefused(error, "token")) throw error;
      return { detail: "OK" }; // ended before
    });
    if (this.token === token) this._session.clear();
    return answer;
  }

  async uploadFace(picture) {
    return this.updateUserinfo({ face_url: await upload(this._platform, this._http, "face", picture) });
  }

  async uploadCover(live_id, picture) {
    const room_image = await upload(this._platform, this._http, "cover", picture);
    return this.updateRoom({ live_id, room_image });
  }

  /** Everything that the server stores about the user, by section; null while the copy is made. */
  async myData() {
    const rows = {};
    for (let part = 1, parts = 1; part <= parts; part += 1) {
      const answer = await this.export({ part });
      if (answer.state !== "ready") return null;
      parts = answer.parts;
      for (const name of Object.keys(answer.export)) rows[name] = [...(rows[name] || []), ...answer.export[name]];
    }
    return rows;
  }

  /** All gifts, the cheapest first. */
  async allGifts() {
    const gifts = [];
    for (let page = 1; ; page += 1) {
      const { results, next } = await this.getGifts({ page });
      gifts.push(...results);
      if (!next) return gifts.sort((a, b) => a.gold - b.gold);
    }
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

  /** Orders a block of gold, has the user pay it and waits for the gold; see purchase.js. */
  buy(block_id) {
    return buy(this, this._platform, block_id);
  }

  /** Follows a user, or ends that; within a tap, WeChat asks at once whether it may send notices of lives. */
  follow(params) {
    if (params.on) this.askForNotice();
    return this._http.call("follow", params);
  }

  /**
   * Has WeChat ask, within a tap, whether it may send one notice of a live.
   *
   * Resolves with whether the user agrees: never an error, and false without `noticeTemplateId`.
   */
  async askForNotice() {
    const { _noticeTemplateId: id, _platform: platform } = this;
    if (!id || !platform.askForNotice) return false;
    const answers = await platform.askForNotice(id).catch(() => ({}));
    return AGREED.includes(answers[id]);
  }

  /**
   * Enters a room with the ticket of an invitation; `shareTicket` is that of a private message, from
   * wx.getEnterOptionsSync(). The server needs a recent login to read WeChat's proof.
   */
  async enterWithTicket(ticket, shareTicket) {
    const prove = this._platform.authPrivateMessage;
    if (shareTicket && !prove) throw new Error("only WeChat has private messages");
    const enter = async () => {
      const proof = shareTicket ? await prove(shareTicket) : {};
      return this.getPlayurl({ ticket, ...proof });
    };
    return enter().catch(async (error) => {
      if (!shareTicket || !isRefused(error, "log_in_again")) throw error;
      await this.signIn();
      return enter();
    });
  }

  /** Makes what the user shares next the private message of an invitation. */
  async shareInvitation({ activity_id }) {
    const share = this._platform.sharePrivately;
    if (!share) throw new Error("only WeChat has private messages");
    await share(activity_id);
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
    return new RoomSocket(this._socketContext, live_id, this._channel);
  }

  /** The user's channel, always the same; `open()` connects it. */
  channel() {
    return this._channel;
  }

  /** Chat over Tencent IM; `liteChat` is @tencentcloud/lite-chat. */
  chat(liteChat) {
    return new Chat(this, this._platform, this._session, liteChat);
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
