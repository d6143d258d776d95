// The room's event feed, newest entry last.

import { picture } from "/demo/dom.js";
import { el } from "/demo/shared/dom.js";
import { faceOf, nameButton } from "/demo/person.js";
import { codeText, language, t } from "/demo/i18n.js";

const MAX_LINES = 80;
const PLAIN_EVENTS = ["micro_apply", "micro_invite", "micro_accept", "member_away", "member_back", "live_pause", "live_resume", "profile", "group"];
const EVENTS_WITH_REASON = ["micro_refuse", "micro_leave", "live_end"];

export class Feed {
  constructor() {
    this._list = el("div", { class: "feed", role: "log", tabindex: "0" });
    this.node = this._list;
    this._lines = []; // how to render each line
    this._language = "";
    new ResizeObserver(() => this._scrollToEnd()).observe(this._list);
  }

  addFrame(frame) {
    if (frame.type === "snapshot" && !this._lines.length) this._add(() => [t("feed.welcome")], "note");
    if (frame.type === "room_info") this._add(() => [t("event.room_info", { name: frame.data.room_name })], "");
    if (frame.type === "mute_all") this._add(() => [t(`event.mute_all.${frame.data.mute_all}`)], "note");
    if (frame.type === "visibility" && frame.data.by) this._add(() => [t(`event.visibility.${frame.data.visibility}`)], "note");
    if (frame.type === "deputy") this._add(() => [eventText(frame, frame.data.on)], "");
    if (frame.type === "gift") this._add(() => giftContent(frame.data), "gift");
    else if (PLAIN_EVENTS.includes(frame.type)) this._add(() => [eventText(frame)], "");
    else if (EVENTS_WITH_REASON.includes(frame.type)) this._add(() => [eventText(frame, frame.data.by ? "deputy" : frame.data.reason)], "");
  }

  addMessage({ from, text }, page) {
    const name = () => {
      const place = el("span", { class: "name" });
      faceOf(page, from).then((face) => place.replaceWith(nameButton(page, face, face.nickname || t("nameless"))));
      return place;
    };
    this._add(() => [name(), el("span", {}, text)], "chat");
  }

  addReplayed(count) {
    this._add(() => [t("feed.caught_up", { n: count })], "note");
  }

  /** Renders all lines again if the language has changed. */
  draw() {
    if (this._language === language()) return;
    this._language = language();
    this._list.setAttribute("aria-label", t("feed"));
    this._list.replaceChildren(...this._lines.map(renderLine));
  }

  _add(render, kind) {
    this._lines = this._lines.concat([{ render, kind }]).slice(-MAX_LINES);
    this._list.append(renderLine(this._lines.at(-1)));
    while (this._list.childElementCount > MAX_LINES) this._list.firstElementChild.remove();
    this._scrollToEnd();
  }

  _scrollToEnd() {
    this._list.scrollTop = this._list.scrollHeight;
  }
}

const renderLine = ({ render, kind }) => el("p", { class: kind }, render());

function eventText({ type, data }, reason) {
  const key = reason === undefined ? type : `${type}.${reason}`;
  return t(`event.${key}`, { name: data.nickname || t("nameless"), by: data.by?.nickname });
}

function giftContent({ from, to, gift: item, num }) {
  const text = t("event.gift", { from: from.nickname, to: to.nickname, gift: codeText("gift", item.name), num });
  return [picture(item.image, item.name, "gift tiny"), el("span", {}, text)];
}
