// Chat of a room over Tencent IM with @tencentcloud/lite-chat, which the app passes in.

import { Emitter } from "./emitter.js";
import { Refused } from "./errors.js";

// Why the server has IM refuse a message in a group, in the order of IM's codes.
const REFUSALS = ["banned", "muted", "muted_all", "blocked", "imitation", "words", "rate", "not_in_room"];
const FIRST_CODE = 10100;
const MUTED_BY_IM = 10017;

export class Chat extends Emitter {
  constructor(client, platform, session, liteChat) {
    super(platform.setTimeout);
    this._client = client;
    this._session = session;
    this._liteChat = liteChat;
    this._im = null; // instance of lite-chat
    this._login = null; // promise of the login to IM
    this._loggedOut = null; // promise of the last logout
    this._group = this._joined = ""; // group of the room; the same, once it is joined
    this._unfollow = () => {};
  }

  /** Joins the group of a room as soon as its state is known, and each group that replaces it. */
  async join(room) {
    await this.leave();
    await new Promise((resolve, reject) => {
      const follow = ({ group_id }) => {
        if (group_id !== this._group) this._enter(group_id).then(resolve, reject);
      };
      this._unfollow = room.on("state", follow);
      if (room.state) follow(room.state.room);
    });
  }

  async send(text) {
    if (!this._joined) throw new Error("the chat is in no group");
    const { CONV_GROUP } = this._liteChat.TYPES;
    const options = { to: this._joined, conversationType: CONV_GROUP, payload: { text } };
    const message = this._im.createTextMessage(options);
    try {
      await this._im.sendMessage(message);
    } catch (error) {
      const code = error.code === MUTED_BY_IM ? "muted" : REFUSALS[error.code - FIRST_CODE];
      throw code ? new Refused({ status: 403, code, detail: error.message }) : error;
    }
    this.emit("message", shown(message)); // lite-chat does not report own messages
  }

  /** Leaves the group and logs out of IM. */
  async leave() {
    const [group, login] = [this._group, this._login];
    this._end();
    if (login) {
      const quit = login.then(() => this._im.quitGroup(group)).catch(() => {}); // it may be gone
      this._loggedOut = quit.then(() => this._im.logout()).catch(() => {});
    }
    await this._loggedOut; // or the next login would be ended by it
  }

  async _enter(group) {
    this._group = group;
    this._joined = "";
    try {
      this._login = this._login || this._logIn();
      await this._login;
      const { GRP_AVCHATROOM } = this._liteChat.TYPES; // a user is in one of them at a time
      if (group === this._group) await this._im.joinGroup({ groupID: group, type: GRP_AVCHATROOM });
    } catch (error) {
      if (group === this._group) this._end(error);
      throw error;
    }
    if (group !== this._group) return; // left, or replaced meanwhile
    this._joined = group;
    this.emit("connection", { joined: true, error: null });
  }

  _end(error) {
    const wasEntered = this._group !== "";
    this._unfollow();
    this._login = null;
    this._group = this._joined = "";
    if (error && wasEntered) this.emit("connection", { joined: false, error });
  }

  async _logIn() {
    const { user_id, user_sig } = await this._client.getUserinfo(); // with a new user_sig
    const SDKAppID = Number(this._session.sdkAppId || (await this._client.signIn()).sdk_app_id);
    const { EVENT, TYPES } = this._liteChat;
    const im = this._liteChat.create({ SDKAppID }); // the same instance each time
    if (im !== this._im) {
      im.on(EVENT.MESSAGE_RECEIVED, ({ data }) => {
        const texts = data.filter(({ type, to }) => type === TYPES.MSG_TEXT && to === this._joined);
        texts.forEach((message) => this.emit("message", shown(message)));
      });
      im.on(EVENT.KICKED_OUT, ({ data }) => this._end(new Error("kicked out of IM: " + data.type)));
      this._im = im;
    }
    await im.login({ userID: user_id, userSig: user_sig });
    if (!im.isReady()) await new Promise((resolve) => im.on(EVENT.SDK_READY, resolve));
  }
}

// Not the message's nick and avatar, which users set at IM without a check.
function shown({ from, payload, time }) {
  return { from, text: payload.text, at: time * 1000 };
}
