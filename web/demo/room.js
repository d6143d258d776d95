// A live room as this person sees it: folded by the SDK from the frames, drawn by the parts.

import { bar } from "/demo/bar.js";
import { button, el, fill, refill, say, sheet } from "/demo/dom.js";
import { Feed } from "/demo/feed.js";
import { fly } from "/demo/flight.js";
import { openGifts } from "/demo/gifts.js";
import { LineShown } from "/demo/line.js";
import { Invitation, drawQueue, openAudience } from "/demo/queue.js";
import { openRank, standings } from "/demo/rank.js";
import { Seats } from "/demo/seats.js";
import { t } from "/demo/words.js";

const FINAL = { 4503: "put_out", 4504: "not_inside", 4509: "replaced", 4510: "ended" };

export function roomPage(app, live_id) {
  const page = new RoomPage(app, live_id);
  page.open();
  return page;
}

/** What somebody is here: host, male, female, applied or viewer. */
export function roleIn(room, userId) {
  for (const [name, role] of [["owner", "host"], ["male", "male"], ["female", "female"]]) {
    if (room[name] && room[name].user_id === userId) return role;
  }
  return room.applicants.some((row) => row.user_id === userId && row.applied_at) ? "applied" : "viewer";
}

class RoomPage {
  constructor(app, live_id) {
    this.kind = "dark";
    this.live_id = live_id;
    this.room = null;
    this.over = ""; // why it is over, for this person
    this._left = false;
    this._app = app;
    this._socket = app.qlive.room(live_id);
    this._head = el("div", {});
    this._line = new LineShown(this._socket, () => this.draw());
    this._seats = new Seats(this);
    this._queue = el("section", { class: "queue" });
    this._feed = new Feed();
    this._acts = el("div", { class: "acts" });
    this._end = el("div", { class: "over", role: "alert" });
    this._invitation = new Invitation(this);
    const middle = el("div", { class: "middle" }, this._queue, this._feed.node);
    this.node = el("div", { class: "room" }, this._head, this._line.node, this._seats.node, middle, this._acts, this._end);
  }

  get app() {
    return this._app;
  }

  get role() {
    return this.room ? roleIn(this.room, this._app.me.user_id) : "viewer";
  }

  open() {
    const socket = this._socket;
    socket.on("frame", (frame) => this._app.frames.noteFrame(frame));
    socket.on("state", (room, frame) => this._hear(room, frame));
    socket.on("connection", (now) => this._follow(now));
    socket.open();
  }

  close() {
    this._left = true;
    this._socket.close();
    this._line.close();
    this._invitation.close();
    document.querySelector("dialog[open]")?.close();
  }

  _hear(room, frame) {
    this.room = room;
    if (frame.type === "gift") this._showGift(frame.data);
    if (frame.type === "live_end") this.over = `ended.${frame.data.reason}`;
    this._feed.hear(frame);
    this.draw();
  }

  _showGift({ to, gift, num, ...more }) {
    fly(this.node, this._seats.placeOf(to.user_id), gift, num);
    const { user_id } = this._app.me;
    if (to.user_id === user_id || more.from.user_id === user_id) this._app.refreshSoon();
  }

  _follow(now) {
    this._line.follow(now);
    if (now.phase === "resumed") this._feed.caughtUp(now.replayed);
    if (now.phase === "live" || now.phase === "resumed") this._app.comeBack();
    if (now.phase === "closed" && FINAL[now.code]) this.over = this.over || FINAL[now.code];
    this.draw();
  }

  draw() {
    const { room, over } = this;
    if (this._left) return;
    this._line.draw();
    this._feed.draw();
    const name = room ? room.room_name : "";
    const { gold, income } = this._app.me;
    refill(this._head, [name, room?.audience_count, this.role, gold, income], () => this._bar());
    refill(this._end, [over], () => (over ? this._ending() : []));
    this._end.hidden = !over;
    if (!room) return;
    this._seats.draw(room, this._app.me);
    drawQueue(this._queue, this, this._app);
    this._invitation.draw(room);
    refill(this._acts, [this.role, over, this._app.me.gender, this._invitation.open], () => this._buttons());
  }

  _bar() {
    const { room } = this;
    const back = this.role === "host" ? null : button("‹", () => this.leave(), { kind: "round", key: "leave", label: t("leave_room") });
    const title = room && [el("h1", {}, room.room_name), el("p", { class: "count" }, t("people_in", { n: room.audience_count }))];
    return bar(this._app, back, title);
  }

  _buttons() {
    if (this.over) return [];
    const { qlive, me } = this._app;
    const where = { live_id: this.live_id };
    const act = (word, does, more = {}) => button(t(word), does, { key: word, ...more });
    const leaveMic = () => qlive.leaveMicro(where);
    const mine = {
      host: () => act("end_live", () => this._askToEnd(), { kind: "danger" }),
      male: () => act("leave_mic", leaveMic),
      female: () => act("leave_mic", leaveMic),
      applied: () => act("withdraw", () => qlive.refuseMicro(where)),
      viewer: () => act("apply", () => qlive.applyMicro(where), { kind: "main", disabled: !me.gender }),
      invited: () => act("answer_invitation", () => this._invitation.show(), { kind: "main" }),
    }[this._invitation.open ? "invited" : this.role]();
    return [
      mine,
      this.role === "host" && act("audience", () => openAudience(this, this._app)),
      act("gifts", () => openGifts(this._app, this), { kind: "golden" }),
      act("rank", () => openRank(this._app, this.live_id)),
    ];
  }

  _askToEnd() {
    const { qlive } = this._app;
    const end = async () => {
      await qlive.liveEnd({ live_id: this.live_id });
      dialog.close();
    };
    const dialog = sheet(
      t("end_live"),
      {},
      el("p", {}, t("end_asks", { n: this.room.audience_count })),
      el("div", { class: "buttons" }, button(t("not_yet"), () => dialog.close()), button(t("end_live"), end, { kind: "danger" })),
    );
  }

  async leave() {
    await this._app.qlive.leaveRoom({ live_id: this.live_id });
    this._app.home();
  }

  /** The room is over for this person: why, who gave most, and where to go now. */
  _ending() {
    const { over, _app: app } = this;
    const again = async () => {
      await app.enter(this.live_id);
      say(t("inside_again"));
    };
    const list = el("div", { class: "standings" });
    const ended = over.startsWith("ended");
    if (ended) app.qlive.rank({ live_id: this.live_id }).then((rank) => fill(list, standings(rank, 3)), () => {});
    return el(
      "div",
      { class: "over-card" },
      el("h2", {}, t(`over.${over}`)),
      el("p", {}, t(`over_says.${ended ? "ended" : over}`)),
      list,
      el(
        "div",
        { class: "buttons" },
        !ended && over !== "put_out" && button(t("here_again"), again, { key: "again" }),
        button(t("to_the_list"), () => app.home(), { kind: "main", key: "list" }),
      ),
    );
  }
}
