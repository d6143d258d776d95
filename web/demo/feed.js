// What has happened in the room, one sentence each, the newest below.

import { el, picture } from "/demo/dom.js";
import { language, t } from "/demo/words.js";

const KEPT = 80;
const TOLD = ["micro_apply", "micro_invite", "micro_accept", "member_away", "member_back", "live_pause", "live_resume", "profile"];
const WITH_REASON = ["micro_refuse", "micro_leave", "live_end"];

export class Feed {
  constructor() {
    this._list = el("div", { class: "feed", role: "log", tabindex: "0" });
    this.node = this._list;
    this._heard = []; // what makes each line
    this._spoken = "";
    new ResizeObserver(() => this._toTheEnd()).observe(this._list);
  }

  hear(frame) {
    if (frame.type === "snapshot" && !this._heard.length) this._add(() => [t("feed.welcome")], "note");
    if (frame.type === "gift") this._add(() => gift(frame.data), "gift");
    else if (TOLD.includes(frame.type)) this._add(() => [plain(frame)], "");
    else if (WITH_REASON.includes(frame.type)) this._add(() => [plain(frame, frame.data.reason)], "");
  }

  caughtUp(count) {
    this._add(() => [t("feed.caught_up", { n: count })], "note");
  }

  /** All lines anew, when another language is spoken. */
  draw() {
    if (this._spoken === language()) return;
    this._spoken = language();
    this._list.setAttribute("aria-label", t("feed"));
    this._list.replaceChildren(...this._heard.map(line));
  }

  _add(make, kind) {
    this._heard = this._heard.concat([{ make, kind }]).slice(-KEPT);
    this._list.append(line(this._heard.at(-1)));
    while (this._list.childElementCount > KEPT) this._list.firstElementChild.remove();
    this._toTheEnd();
  }

  _toTheEnd() {
    this._list.scrollTop = this._list.scrollHeight;
  }
}

const line = ({ make, kind }) => el("p", { class: kind }, make());

function plain({ type, data }, reason) {
  return t(`event.${type}${reason ? `.${reason}` : ""}`, { name: data.nickname || t("nameless") });
}

function gift({ from, to, gift: given, num }) {
  const said = t("event.gift", { from: from.nickname, to: to.nickname, gift: t(`gift.${given.name}`), num });
  return [picture(given.image, given.name, "gift tiny"), el("span", {}, said)];
}
