// A room: three videos, the feed over them, and what the user can do, in sheets. The SDK keeps its state.

const { RECONNECT } = require("qlive-miniprogram");
const account = require("../../account.js");
const chat = require("../../chat.js");
const feed = require("../../feed.js");
const { openPerson } = require("../../person.js");
const qlive = require("../../qlive.js");
const { chooseVisibility } = require("../../visibility.js");
const { changesOf, invitation, mutedUntil, nameIn, viewOf } = require("../../view.js");
const { t, errorText, format, showError, showToast } = require("../../i18n.js");

const REFUSED = { put_out: "put_out", not_live: "ended" };
const NOTICE_MS = 5000;
const MOST_NAMES = 300; // of senders, in a live of many hours

let leaving = Promise.resolve(); // a room that is entered again at once is entered after it was left

Component({
  options: { styleIsolation: "apply-shared" },
  data: {
    ...{ t, liveId: 0, top: {}, line: t.line_connecting, over: "", why: "", review: "" },
    ...{ title: "", people: "", role: "", own: null, owner: null, guests: [], applicants: [], receivers: [], muteAll: false, visibility: "public", isPrivate: false, isDeputy: false, canFollow: false },
    ...{ lines: [], last: "", names: {}, hasChat: Boolean(chat), joined: false, text: "", muted: "", gift: null },
    ...{ sheet: "", invited: "", left: "", video: { mic: true, camera: true, mirror: true, beauty: 5 } },
  },

  methods: {
    /** `t`: the ticket of an invitation; `scene`: the same from a code that was scanned. */
    async onLoad({ live_id, t: ticket, scene = "" }) {
      this.live_id = Number(live_id || 0);
      this.ticket = ticket || decodeURIComponent(scene);
      this.asked = new Set(); // users whose names the server has been asked for
      this.count = 0; // of the feed's lines
      this.setData({ top: besideCapsule() });
      wx.setKeepScreenOn({ keepScreenOn: true });
      await this.enter();
    },

    onUnload() {
      const { over, role } = this.data;
      this.isGone = true;
      wx.setKeepScreenOn({ keepScreenOn: false });
      clearTimeout(this.notice);
      clearInterval(this.countdown);
      clearTimeout(this.muteTimer);
      if (this.socket) this.socket.close();
      if (this.chatOff) this.chatOff();
      if (this.live_id && !over && role !== "host") this.leave();
    },

    leave() {
      leaving = qlive.leaveRoom({ live_id: this.live_id }).catch(() => {});
    },

    /** The card of an invitation has its ticket in the path. */
    onShareAppMessage({ target }) {
      const { path = `/pages/room/room?live_id=${this.live_id}` } = target ? target.dataset : {};
      return { title: this.data.title, path };
    },

    async enter() {
      this.setData({ over: "", why: "", line: t.line_connecting });
      try {
        await Promise.all([account.ready(), leaving]);
        this.live_id = (await this.admit()).live_id;
        if (this.isGone) return this.leave();
        if (!this.socket) this.follow(qlive.room(this.live_id));
        this.socket.open();
      } catch (error) {
        this.onFailure(error);
      }
    },

    /** Enters by the ticket; who has been inside enters without it, unless the absence was too long. */
    async admit() {
      const { live_id, ticket } = this;
      const { query, shareTicket } = wx.getEnterOptionsSync(); // if it is a private message
      const byTicket = () => qlive.enterWithTicket(ticket, query.t === ticket ? shareTicket : undefined);
      if (!live_id) return byTicket();
      return qlive.getPlayurl({ live_id }).catch((error) => {
        if (!ticket || error.code !== "invitation_required") throw error;
        return byTicket();
      });
    },

    follow(socket) {
      this.socket = socket;
      this.setData({ liveId: this.live_id });
      socket.on("state", (room, frame) => this.onState(room, frame));
      socket.on("connection", (connection) => this.onConnection(connection));
    },

    /** The room cannot be entered: the page says why, and the user may try again. A notice may come too late. */
    onFailure(error) {
      if (this.isGone) return;
      if (error.code === "not_live" && getCurrentPages().length === 1) {
        showToast(t.over_ended);
        return this.toList();
      }
      const over = REFUSED[error.code] || (error.name === "Unreachable" ? "offline" : "refused");
      this.setData({ line: "", over, why: over === "refused" ? errorText(error) : "" });
    },

    // ---- what the SDK reports

    /** Shows a change with one setData: its cost is that of its bytes and of their number. */
    onState(room, frame) {
      const line = feed.lineOf(frame);
      const isWelcomeAgain = frame.type === "snapshot" && this.count > 0;
      const shown = {
        ...viewOf(room, qlive.userId, this.data),
        ...this.muteOf(mutedUntil({ room }, qlive.userId)),
        ...this.invitationOf(invitation({ room }, qlive.userId), room),
      };
      const { sheet } = this.data;
      if ((sheet === "own-video" && !shown.own) || (sheet === "preview" && !shown.invited)) shown.sheet = "";
      if (["settings", "invite"].includes(sheet) && shown.role !== "host" && !shown.isDeputy) shown.sheet = "";
      const isModerated = frame.type === "live_end" && frame.data.reason === "moderation";
      if (frame.type === "live_end") Object.assign(shown, { over: "ended", sheet: "", why: isModerated ? t.over_moderation : "" });
      this.setData({
        ...changesOf(shown, this.data),
        ...(frame.type === "gift" ? { gift: effectOf(frame.data) } : {}),
        ...(line && !isWelcomeAgain ? feed.addition(line, this.count++) : {}),
      });
      if (shown.role !== "host" && !this.host) this.showFollow(room.owner.user_id).catch(() => {}); // without the offer
      if (shown.role === "host" && ["snapshot", "room_info"].includes(frame.type)) this.showReview().catch(showError);
    },

    onConnection({ phase, attempt, replayed, reset, code }) {
      clearTimeout(this.notice);
      if (phase === "connecting") this.setData({ line: attempt ? format("line_lost", { n: attempt }) : t.line_connecting });
      if (phase === "reconnecting") this.setData({ line: format("line_lost", { n: attempt }) });
      if (phase === "live") this.onLive(reset ? t.line_reset : "");
      if (phase === "resumed") this.onLive(replayed ? format("line_resumed", { n: replayed }) : "");
      if (phase === "closed") this.onClosed(code);
    },

    onLive(line) {
      this.setData({ line });
      if (line) this.notice = setTimeout(() => this.setData({ line: "" }), NOTICE_MS);
      qlive.gifts.resume().then((gifts) => gifts.some(({ answer }) => answer) && showToast(t.given));
      if (chat && !this.data.joined) this.joinChat();
    },

    onClosed(code) {
      if (this.isGone || this.data.over) return;
      clearInterval(this.countdown);
      const over = code === RECONNECT.token_code ? "signed_out" : RECONNECT.final_codes[code] || "bad_frames";
      this.setData({ line: "", sheet: "", invited: "", over });
    },

    invitationOf(row, room) {
      clearInterval(this.countdown);
      if (!row) return { invited: "" };
      const left = () => format("seconds", { n: Math.max(0, Math.ceil((row.expires_at - Date.now()) / 1000)) });
      this.countdown = setInterval(() => this.setData({ left: left() }), 1000);
      const isNew = !this.data.invited;
      return { invited: format("invited_text", { name: room.owner.nickname }), left: left(), ...(isNew ? { sheet: "" } : {}) };
    },

    /** Counts down the time for which the host has muted the user. */
    muteOf(until) {
      clearTimeout(this.muteTimer);
      const left = Math.ceil((until - Date.now()) / 1000);
      const time = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
      if (left > 0 && left < Infinity) this.muteTimer = setTimeout(() => this.setData(this.muteOf(until)), 1000);
      return { muted: left === Infinity ? t.feed_mute_all_true : left > 0 ? format("muted_for", { time }) : "" };
    },

    /** The host sees what others do not see yet. */
    async showReview() {
      const { in_review } = await account.refresh();
      const values = [in_review.room_name, in_review.room_image && t.cover_picture].filter(Boolean);
      const review = values.length ? `${values.join("、")} ${t.in_review}` : "";
      if (review !== this.data.review) this.setData({ review });
    },

    /** Offers to follow the host. */
    async showFollow(host) {
      this.host = host;
      this.setData({ canFollow: !(await qlive.getUserinfo({ user_id: host })).followed });
    },

    async followHost() {
      try {
        await qlive.follow({ user_id: this.host, on: true });
        this.setData({ canFollow: false });
        showToast(t.now_followed);
      } catch (error) {
        showError(error);
      }
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
    async addMessage({ from, text, old }) {
      if (Math.max(this.asked.size, Object.keys(this.data.names).length) >= MOST_NAMES) this.forgetNames();
      const known = nameIn(this.socket.state.room, from);
      const name = known && known !== this.data.names[from] ? { [`names.${from}`]: known } : {};
      this.setData({ ...feed.addition({ kind: old ? "chat old" : "chat", user_id: from, text }, this.count++), ...name });
      if (known || this.asked.has(from)) return;
      this.asked.add(from);
      const { nickname } = await qlive.getUserinfo({ user_id: from }).catch(() => ({}));
      if (!this.asked.has(from)) return; // the line is gone
      this.setData({ [`names.${from}`]: nickname || t.nameless });
    },

    /** Keeps the names of those whose lines are still shown. */
    forgetNames() {
      const shown = new Set(this.data.lines.map(({ user_id }) => user_id));
      const names = Object.fromEntries(Object.entries(this.data.names).filter(([id]) => shown.has(id)));
      this.asked = new Set([...this.asked].filter((id) => shown.has(id)));
      this.setData({ names });
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
      return this.call(event.currentTarget.dataset.call);
    },

    call(name, params) {
      return qlive[name]({ live_id: this.live_id, ...params }).catch(showError);
    },

    openSheet(event) {
      this.setData({ sheet: event.currentTarget.dataset.sheet });
    },

    closeSheet() {
      this.setData({ sheet: "" });
    },

    moreOfSheet() {
      const list = this.selectComponent("#audience");
      if (list) list.more();
    },

    /** On mic with the video as the preview has shown it. */
    async goOnMic() {
      if (this.isAccepting) return;
      this.isAccepting = true;
      await this.call("acceptMicro");
      this.isAccepting = false;
      if (this.data.sheet) this.closeSheet(); // the event has closed it, unless the call was refused
    },

    changeVideo({ detail }) {
      this.setData({ video: detail });
    },

    turnCamera() {
      const seat = this.selectComponent("#own-seat");
      if (seat) seat.switchCamera();
    },

    end() {
      const end = ({ confirm }) => confirm && this.call("liveEnd");
      wx.showModal({ title: t.end_live, content: t.end_asks, confirmColor: "#b3261e", success: end });
    },

    rename() {
      const rename = ({ confirm, content }) =>
        confirm && qlive.updateRoom({ live_id: this.live_id, room_name: content }).then(() => this.showReview()).catch(showError);
      wx.showModal({ title: t.room_name, content: this.data.title, editable: true, success: rename });
    },

    changeCover() {
      const upload = ({ tempFiles }) => qlive.uploadCover(this.live_id, tempFiles[0].tempFilePath).then(() => showToast(t.saved)).then(() => this.showReview()).catch(showError);
      wx.chooseMedia({ count: 1, mediaType: ["image"], sizeType: ["compressed"], success: upload });
    },

    async changeVisibility() {
      const visibility = await chooseVisibility();
      if (!visibility || visibility === this.data.visibility) return;
      const change = ({ confirm }) => confirm && this.call("updateRoom", { visibility }); // the seats renew their streams
      wx.showModal({ title: t[`visibility_${visibility}`], content: t[`asks_${visibility}`], success: change });
    },

    resign() {
      return this.call("deputy", { user_id: qlive.userId, on: false });
    },

    toggleMuteAll() {
      return this.call("muteAll", { on: !this.data.muteAll });
    },

    openPerson({ detail: { user_id } }) {
      if (user_id !== qlive.userId) return openPerson({ live_id: this.live_id, user_id, room: this.socket.state.room }).catch(showError);
    },

    goBack() {
      if (getCurrentPages().length > 1) wx.navigateBack();
      else this.toList();
    },

    /** A follower who leaves a live that has ended is asked for the notice of the next one. */
    async toList() {
      if (this.host && this.data.over === "ended" && !this.data.canFollow) await qlive.askForNotice();
      wx.switchTab({ url: "/pages/list/list" });
    },
  },
});

/** The bar of the page: as high as WeChat's capsule, and left of it. */
function besideCapsule() {
  const { top, height, left } = wx.getMenuButtonBoundingClientRect();
  const { windowWidth } = wx.getWindowInfo();
  return { above: top, height, right: windowWidth - left };
}

/** What the effect of a gift shows. */
function effectOf({ gift, from, to, num, request_id }) {
  return { id: request_id, image: gift.image, effect: gift.effect, text: `${from.nickname} → ${to.nickname} ${gift.name} ×${num}` };
}
