// A room: three seats, the mic queue, the feed with gifts and chat. The SDK keeps its state.

const { RECONNECT, invitation, mutedUntil, roleIn, seatOf } = require("qlive-miniprogram");
const account = require("../../account.js");
const chat = require("../../chat.js");
const feed = require("../../feed.js");
const { openPerson } = require("../../person.js");
const qlive = require("../../qlive.js");
const { t, errorText, format, showError, showToast } = require("../../i18n.js");

const SEATS = ["owner", "male", "female"];
const REFUSED = { put_out: "put_out", not_live: "ended" };
const NOTICE_MS = 5000;
const MOST_LINES = 80;

let leaving = Promise.resolve(); // a room that is entered again at once is entered after it was left

Component({
  data: { t, seats: SEATS, liveId: 0, room: null, role: "", ownSeat: null, line: t.line_connecting, over: "", lines: [], names: {}, joined: false, muted: "", review: "" },

  methods: {
    async onLoad({ live_id }) {
      this.live_id = Number(live_id);
      this.asked = new Set(); // users whose names the server has been asked for
      this.setData({ liveId: this.live_id });
      wx.setKeepScreenOn({ keepScreenOn: true });
      this.socket = qlive.room(this.live_id);
      this.socket.on("state", (room, frame) => this.onState(room, frame));
      this.socket.on("connection", (connection) => this.onConnection(connection));
      await this.enter();
    },

    onUnload() {
      const { over, role } = this.data;
      this.isGone = true;
      wx.setKeepScreenOn({ keepScreenOn: false });
      clearTimeout(this.notice);
      clearInterval(this.countdown);
      clearTimeout(this.muteTimer);
      this.socket.close();
      if (this.chatOff) this.chatOff();
      if (!over && role !== "host") this.leave();
    },

    leave() {
      leaving = qlive.leaveRoom({ live_id: this.live_id }).catch(() => {});
    },

    onShareAppMessage() {
      const { room } = this.data;
      return { title: room && room.room_name, path: `/pages/room/room?live_id=${this.live_id}` };
    },

    async enter() {
      try {
        await Promise.all([account.ready(), leaving]);
        await qlive.getPlayurl({ live_id: this.live_id });
        if (this.isGone) return this.leave();
        this.setData({ over: "", why: "" });
        this.socket.open();
      } catch (error) {
        this.onFailure(error);
      }
    },

    /** The room cannot be entered: the page says why, and the user may try again. */
    onFailure(error) {
      if (this.isGone) return;
      const over = REFUSED[error.code] || (error.name === "Unreachable" ? "offline" : "refused");
      this.setData({ line: "", over, why: over === "refused" ? errorText(error) : "" });
    },

    // ---- what the SDK reports

    onState(room, frame) {
      const role = roleIn({ room }, qlive.userId);
      const ownSeat = seatOf({ room }, qlive.userId);
      const people = format("people_in", { n: room.audience_count });
      const others = SEATS.filter((seat) => room[seat] && ownSeat !== seat).map((seat) => ({ seat, ...room[seat] }));
      this.setData({ room, role, ownSeat, people, others });
      this.showMute(mutedUntil({ room }, qlive.userId));
      if (role === "host" && ["snapshot", "room_info"].includes(frame.type)) this.showReview();
      this.showInvitation(invitation({ room }, qlive.userId), room);
      if (frame.type === "gift") this.setData({ gift: frame.data });
      if (frame.type === "live_end") this.setData({ over: "ended", why: frame.data.reason === "moderation" ? t.over_moderation : "" });
      const line = feed.lineOf(frame);
      const isWelcomeAgain = frame.type === "snapshot" && this.data.lines.length;
      if (line && !isWelcomeAgain) this.addLine(line);
    },

    onConnection({ phase, attempt, replayed, reset, code }) {
      clearTimeout(this.notice);
      if (phase === "connecting") this.setData({ line: attempt ? format("line_lost", { n: attempt }) : t.line_connecting });
      if (phase === "reconnecting") this.setData({ line: format("line_lost", { n: attempt }) });
      if (phase === "live") this.onLive(reset ? t.line_reset : "");
      if (phase === "resumed") this.onLive(format("line_resumed", { n: replayed }));
      if (phase === "closed") this.onClosed(code);
    },

    onLive(line) {
      this.setData({ line });
      this.notice = setTimeout(() => this.setData({ line: "" }), NOTICE_MS);
      qlive.gifts.resume().then((gifts) => gifts.some(({ answer }) => answer) && showToast(t.given));
      if (chat && !this.data.joined) this.joinChat();
    },

    onClosed(code) {
      const over = RECONNECT.final_codes[code];
      if (over && !this.data.over) this.setData({ line: "", over });
      if (code === RECONNECT.token_code) account.signIn().then(() => this.isGone || this.socket.open(), (error) => this.onFailure(error));
    },

    showInvitation(row, room) {
      clearInterval(this.countdown);
      if (!row) return this.setData({ invited: "" });
      const count = () => {
        const n = Math.max(0, Math.ceil((row.expires_at - Date.now()) / 1000));
        this.setData({ left: format("seconds", { n }) });
      };
      count();
      this.countdown = setInterval(count, 1000);
      this.setData({ invited: format("invited_text", { name: room.owner.nickname }), giving: false });
    },

    /** Counts down the time for which the host has muted the user. */
    showMute(until) {
      clearTimeout(this.muteTimer);
      const left = Math.ceil((until - Date.now()) / 1000);
      const time = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
      this.setData({ muted: left === Infinity ? t.feed_mute_all_true : left > 0 ? format("muted_for", { time }) : "" });
      if (left > 0 && left < Infinity) this.muteTimer = setTimeout(() => this.showMute(until), 1000);
    },

    /** The host sees what others do not see yet. */
    async showReview() {
      const { in_review } = await account.refresh();
      const values = [in_review.room_name, in_review.room_image && t.cover_picture].filter(Boolean);
      this.setData({ review: values.length ? `${values.join("、")} ${t.in_review}` : "" });
    },

    addLine(line) {
      const id = (this.lineId = (this.lineId || 0) + 1);
      const lines = this.data.lines.concat([{ ...line, id }]).slice(-MOST_LINES);
      this.setData({ lines, last: `line-${id}` });
    },

    // ---- chat

    /** Joins the chat, also after it has ended, such as on another phone of the user. */
    async joinChat() {
      if (this.joining) return;
      this.joining = true;
      if (!this.chatOff) this.chatOff = this.followChat();
      await chat.join(this.socket).catch(showError);
      this.joining = false;
    },

    followChat() {
      const off = [
        chat.on("message", (message) => this.addMessage(message)),
        chat.on("connection", ({ joined }) => this.setData({ joined })),
      ];
      return () => {
        off.forEach((remove) => remove());
        chat.leave().catch(() => {});
      };
    },

    /** The sender's name is the checked one, of the room or of the server, which is asked once. */
    async addMessage({ from, text }) {
      this.addLine({ kind: "chat", user_id: from, text });
      const { room } = this.data;
      const known = [...SEATS.map((seat) => room[seat]), ...room.applicants].find((row) => row && row.user_id === from);
      if (!known && this.asked.has(from)) return;
      this.asked.add(from);
      const { nickname } = known || (await qlive.getUserinfo({ user_id: from }).catch(() => ({})));
      this.setData({ names: { ...this.data.names, [from]: nickname || t.nameless } });
    },

    async sayText(event) {
      try {
        await chat.send(event.detail.value);
        this.setData({ text: "" });
      } catch (error) {
        showError(error);
      }
    },

    // ---- what the user does

    act(event) {
      return qlive[event.currentTarget.dataset.call]({ live_id: this.live_id }).catch(showError);
    },

    end() {
      const end = ({ confirm }) => confirm && qlive.liveEnd({ live_id: this.live_id }).catch(showError);
      wx.showModal({ title: t.end_live, content: t.end_asks, success: end });
    },

    rename() {
      const rename = ({ confirm, content }) =>
        confirm && qlive.updateRoom({ live_id: this.live_id, room_name: content }).then(() => this.showReview()).catch(showError);
      wx.showModal({ title: t.room_name, content: this.data.room.room_name, editable: true, success: rename });
    },

    changeCover() {
      const upload = ({ tempFiles }) => qlive.uploadCover(this.live_id, tempFiles[0].tempFilePath).then(() => showToast(t.saved)).then(() => this.showReview()).catch(showError);
      wx.chooseMedia({ count: 1, mediaType: ["image"], sizeType: ["compressed"], success: upload });
    },

    openPerson({ detail: { user_id } }) {
      if (user_id !== qlive.userId) return openPerson({ live_id: this.live_id, user_id, room: this.data.room }).catch(showError);
    },

    openGifts() {
      this.setData({ giving: true });
    },

    closeGifts() {
      this.setData({ giving: false });
    },

    toList() {
      wx.switchTab({ url: "/pages/list/list" });
    },
  },
});
