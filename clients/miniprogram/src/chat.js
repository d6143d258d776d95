// Chat of a room, and of two users, over Tencent IM with @tencentcloud/lite-chat, which the app passes in.

import { Emitter } from "./emitter.js";
import { Refused } from "./errors.js";

// Why the server has IM refuse a message in a group, in the order of IM's codes.
const REFUSALS = ["banned", "muted", "muted_all", "blocked", "imitation", "words", "rate", "not_in_room"];
const FIRST_CODE = 10100;
const MUTED_BY_IM = 10017;

// Kinds of the messages by which the server repeats events for clients without a socket. Users cannot send them.
const CONTROLS = ["reset", "over", "gift", "num", "kickout", "invite"];

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

  /** Whether the chat is in the group of a room. */
  get joined() {
    return this._joined !== "";
  }

  async send(text) {
    if (!this._joined) throw new Error("the chat is in no group");
    this.emit("message", await this._send(this._joined, this._liteChat.TYPES.CONV_GROUP, text));
  }

  /** Logs in to IM, and resolves with the latest lines between the user and another one, the earliest first. */
  async talkTo(user_id) {
    await this._loggedOut;
    await this._logInOnce();
    const conversationID = this._liteChat.TYPES.CONV_C2C + user_id;
    const { data } = await this._im.getMessageList({ conversationID });
    return data.messageList.filter((message) => this._isLine(message)).map(shown);
  }

  /** Sends a text to a user after `talkTo`; resolves with its line. */
  sendTo(user_id, text) {
    return this._send(user_id, this._liteChat.TYPES.CONV_C2C, text);
  }

  async _send(to, conversationType, text) {
    const message = this._im.createTextMessage({ to, conversationType, payload: { text } });
    try {
      await this._im.sendMessage(message);
    } catch (error) {
      const code = error.code === MUTED_BY_IM ? "muted" : REFUSALS[error.code - FIRST_CODE];
      throw code ? new Refused({ status: 403, code, detail: error.message }) : error;
    }
    return shown(message); // lite-chat does not report own messages
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
      await this._logInOnce();
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

  _logInOnce() {
    if (!this._login) {
      const login = (this._login = this._logIn());
      login.catch(() => this._login === login && (this._login = null)); // the next call tries again
    }
    return this._login;
  }

  async _logIn() {
    const { user_id, user_sig } = await this._client.getUserinfo(); // with a new user_sig
    const SDKAppID = Number(this._session.sdkAppId || (await this._client.signIn()).sdk_app_id);
    const { EVENT, TYPES } = this._liteChat;
    const im = this._liteChat.create({ SDKAppID }); // the same instance each time
    if (im !== this._im) {
      im.on(EVENT.MESSAGE_RECEIVED, ({ data }) => data.forEach((message) => this._receive(message, TYPES)));
      im.on(EVENT.KICKED_OUT, ({ data }) => this._end(new Error("kicked out of IM: " + data.type)));
      this._im = im;
    }
    await im.login({ userID: user_id, userSig: user_sig });
    if (!im.isReady()) await new Promise((resolve) => im.on(EVENT.SDK_READY, resolve));
  }

  /** Emits a line; lite-chat reports those from before the join until the join is answered. */
  _receive(message, { CONV_C2C }) {
    if (!this._isLine(message)) return;
    if (message.to === this._group) {
      this.emit("message", this._joined ? shown(message) : { ...shown(message), old: true });
    } else if (message.conversationType === CONV_C2C) this.emit("private", shown(message));
  }

  /** Whether a message is a user's text: the room's socket has delivered what the others repeat, with its number. */
  _isLine({ type, payload }) {
    return type === this._liteChat.TYPES.MSG_TEXT && !isControl(payload.text);
  }
}

function isControl(text) {
  try {
    return CONTROLS.includes(JSON.parse(text).type);
  } catch (error) {
    return false;
  }
}

// Not the message's nick and avatar, which users set at IM without a check.
function shown({ from, payload, time }) {
  return { from, text: payload.text, at: time * 1000 };
}
