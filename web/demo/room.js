// The room page: the SDK folds frames into the room state, the parts of the page render it.

import { RECONNECT, roleIn } from "/sdk/qlive.js";
import { bar } from "/demo/bar.js";
import { picture, renderIfChanged, openDialog } from "/demo/dom.js";
import { button, el, fill } from "/demo/shared/dom.js";
import { showToast } from "/demo/shared/toast.js";
import { ChatLine } from "/demo/chat_line.js";
import { Feed } from "/demo/feed.js";
import { animateGift } from "/demo/gift_animation.js";
import { openGifts } from "/demo/gifts.js";
import { ConnectionStatus } from "/demo/connection_status.js";
import { Invitation, drawQueue, openAudience } from "/demo/queue.js";
import { openInvite } from "/demo/invitations.js";
import { openRoomInfo } from "/demo/profile.js";
import { openRank, standings } from "/demo/rank.js";
import { Seats } from "/demo/seats.js";
import { t } from "/demo/i18n.js";

export function roomPage(app, live_id) {
  const page = new RoomPage(app, live_id);
  page.open();
  return page;
}

class RoomPage {
  constructor(app, live_id) {
    this.kind = "dark";
    this.live_id = live_id;
    this.room = null;
    this.endReason = ""; // text key of why the room is closed for this user, or ""
    this._closed = false;
    this._app = app;
    this._socket = app.qlive.room(live_id);
    this._head = el("div", {});
    this._status = new ConnectionStatus(this._socket, () => this.draw());
    this._private = el("p", { class: "private-notice" });
    this._seats = new Seats(this);
    this._queue = el("section", { class: "queue" });
    this._feed = new Feed();
    this._chat = new ChatLine(this, (message) => this._feed.addMessage(message, this));
    this._actions = el("div", { class: "actions" });
    this._endScreen = el("div", { class: "end-screen", role: "alert" });
    this._invitation = new Invitation(this);
    const middle = el("div", { class: "middle" }, this._queue, this._feed.node);
    this.node = el("div", { class: "room" }, this._head, this._status.node, this._private, this._seats.node, middle, this._chat.node, this._actions, this._endScreen);
  }

  get app() {
    return this._app;
  }

  get role() {
    return roleIn(this._socket.state, this._app.me.user_id);
  }

  get isDeputy() {
    return this.room.deputies.includes(this._app.me.user_id);
  }

  open() {
    const socket = this._socket;
    socket.on("frame", (frame) => this._app.devPanel.addFrame(frame));
    socket.on("state", (room, frame) => this._onState(room, frame));
    socket.on("connection", (status) => this._onConnection(status));
    socket.open();
  }

  close() {
    this._closed = true;
    this._socket.close();
    this._status.close();
    this._chat.close();
    this._invitation.close();
    document.querySelector("dialog[open]")?.close();
  }

  _onState(room, frame) {
    this.room = room;
    if (frame.type === "gift") this._onGift(frame.data);
    if (frame.type === "live_end") this.endReason = `ended.${frame.data.reason}`;
    this._feed.addFrame(frame);
    this.draw();
  }

  _onGift({ to, gift, num }) {
    animateGift(this.node, this._seats.seatOf(to.user_id), gift, num);
  }

  _onConnection(status) {
    this._status.follow(status);
    if (status.phase === "resumed") this._feed.addReplayed(status.replayed);
    const isOpen = status.phase === "live" || status.phase === "resumed";
    if (isOpen) this._app.pendingGifts.retry();
    if (isOpen) this._chat.join(this._socket);
    if (status.phase === "closed") this.endReason ||= RECONNECT.final_codes[status.code] ?? "";
    this.draw();
  }

  draw() {
    const { room, endReason } = this;
    if (this._closed) return;
    this._status.draw();
    this._feed.draw();
    const shown = room && [room.room_name, room.room_image, room.audience_count];
    const { gold, income } = this._app.me;
    renderIfChanged(this._head, [shown, this.role, gold, income], () => this._renderBar());
    renderIfChanged(this._endScreen, [endReason], () => (endReason ? this._renderEnd() : []));
    this._endScreen.hidden = !endReason;
    if (!room) return;
    this._private.hidden = room.visibility !== "private" || endReason !== "";
    this._private.textContent = t("private.notice");
    this._seats.draw(room, this._app.me);
    this._chat.draw();
    drawQueue(this._queue, this, this._app);
    this._invitation.draw(room);
    renderIfChanged(this._actions, [this.role, this.isDeputy, endReason, this._app.me.gender, this._invitation.open], () => this._renderActions());
  }

  _renderBar() {
    const { room } = this;
    const back = this.role === "host" ? null : button("‹", () => this.leave(), { kind: "round", key: "leave", label: t("leave_room") });
    const title = room && [
      picture(room.room_image, room.room_name, "face small"),
      el("div", {}, el("h1", {}, room.room_name), el("p", { class: "count" }, t("people_in", { n: room.audience_count }))),
    ];
    return bar(this._app, back, title);
  }

  _renderActions() {
    if (this.endReason) return [];
    const { qlive, me } = this._app;
    const params = { live_id: this.live_id };
    const action = (key, onClick, options = {}) => button(t(key), onClick, { key, ...options });
    const isModerator = this.role === "host" || this.isDeputy;
    const leaveMic = () => qlive.leaveMicro(params);
    const ownButton = {
      host: () => action("end_live", () => this._confirmEnd(), { kind: "danger" }),
      male: () => action("leave_mic", leaveMic),
      female: () => action("leave_mic", leaveMic),
      applied: () => action("withdraw", () => qlive.refuseMicro(params)),
      viewer: () => action("apply", () => qlive.applyMicro(params), { kind: "main", disabled: !me.gender }),
      invited: () => action("answer_invitation", () => this._invitation.show(), { kind: "main" }),
    }[this._invitation.open ? "invited" : this.role]();
    return [
      ownButton,
      isModerator && action("audience", () => openAudience(this, this._app)),
      this.role === "host" && action("room_info", () => openRoomInfo(this, this._app)),
      isModerator && action("invite_in", () => openInvite(this)),
      action("gifts", () => openGifts(this._app, this), { kind: "golden" }),
      action("rank", () => openRank(this._app, this.live_id)),
    ];
  }

  _confirmEnd() {
    const { qlive } = this._app;
    const end = async () => {
      await qlive.liveEnd({ live_id: this.live_id });
      dialog.close();
    };
    const dialog = openDialog(
      t("end_live"),
      {},
      el("p", {}, t("end_asks", { n: this.room.audience_count })),
      el("div", { class: "buttons" }, button(t("not_yet"), () => dialog.close()), button(t("end_live"), end, { kind: "danger" })),
    );
  }

  async leave() {
    await this._app.qlive.leaveRoom({ live_id: this.live_id });
    this._app.showList();
  }

  /** Card shown when the room is closed for this user: reason, top givers and next steps. */
  _renderEnd() {
    const { endReason, _app: app } = this;
    const reenter = async () => {
      await app.enterRoom({ live_id: this.live_id });
      showToast(t("inside_again"));
    };
    const list = el("div", { class: "standings" });
    const isEnded = endReason.startsWith("ended");
    const hasRank = isEnded && this.room.visibility !== "private";
    if (hasRank) app.qlive.rank({ live_id: this.live_id }).then((rank) => fill(list, standings(rank, 3)), () => {});
    return el(
      "div",
      { class: "end-card" },
      el("h2", {}, t(`end.${endReason}`)),
      el("p", {}, t(`end_text.${hasRank ? "ended" : isEnded ? "private" : endReason}`)),
      list,
      el(
        "div",
        { class: "buttons" },
        !isEnded && endReason !== "put_out" && button(t("here_again"), reenter, { key: "again" }),
        button(t("to_the_list"), () => app.showList(), { kind: "main", key: "list" }),
      ),
    );
  }
}
