// For developers: every frame and every call as it comes, the other people, and the network's switch.

import { button, el, refill } from "/demo/dom.js";
import { nextPeople } from "/demo/people.js";
import { t } from "/demo/words.js";

const KEPT = 150;
const PASSING = ["audience", "heartbeat", "pong"];

/** `whose()` is the app; it is asked for when there is something to draw. */
export function panel(node, whose) {
  const head = el("header", { class: "panel-head" });
  const others = el("section", { class: "card" });
  const line = el("section", { class: "card" });
  const list = el("ol", { class: "frames", tabindex: "0" });
  const title = el("div", { class: "frames-head" });
  node.append(head, el("div", { class: "cards" }, others, line), el("section", { class: "card grows" }, title, list));
  const hidden = { call: false, passing: true };
  let heard = 0;
  let replayed = 0; // what the last resume has caught up on
  let last = { name: "", times: 0, entry: null }; // the call on top, while it is made again and again

  function add(one) {
    list.prepend(one.node);
    while (list.childElementCount > KEPT) list.lastElementChild.remove();
  }

  function noteFrame(frame) {
    heard += 1;
    const passing = PASSING.includes(frame.type);
    if (frame.type === "resumed") replayed = frame.replayed;
    last = { name: "", times: 0, entry: null };
    const one = new Entry(frame.type);
    one.show(passing ? "frame passing" : "frame", number(frame), frame, "");
    add(one);
    draw();
  }

  function noteCall({ title: name, status, ms, body }) {
    const again = name === last.name;
    last = again ? { ...last, times: last.times + 1 } : { name, times: 1, entry: new Entry(name) };
    const times = again ? `×${last.times} · ` : "";
    last.entry.show(status < 400 ? "call" : "call refused", String(status), body, `${times}${ms} ms`);
    if (!again) add(last.entry);
  }

  function tick(name) {
    const change = ({ target }) => {
      hidden[name] = !target.checked;
      list.classList.toggle(`no-${name}`, hidden[name]);
    };
    return el("label", { class: "tick" }, el("input", { type: "checkbox", checked: !hidden[name], onchange: change, "data-key": name }), t(`panel.${name}`));
  }

  function draw() {
    const app = whose();
    const live_id = app.page?.live_id || null;
    node.setAttribute("aria-label", t("panel"));
    list.setAttribute("aria-label", t("panel.frames"));
    refill(head, [], () => [
      el("h2", {}, t("panel.title")),
      button("×", () => document.body.classList.remove("panel-open"), { kind: "round only-narrow", label: t("close") }),
      el("p", {}, t("panel.says")),
    ]);
    refill(others, [live_id], () => [el("h3", {}, t("next_people")), nextPeople(live_id), el("p", { class: "hint" }, t("next_hint"))]);
    refill(line, [app.network.down, replayed], () => network(app));
    refill(title, [heard], () => [el("h3", {}, t("panel.frames"), " ", el("small", {}, String(heard))), tick("call"), tick("passing")]);
  }

  function network(app) {
    const { down } = app.network;
    const turn = () => {
      replayed = 0;
      if (down) app.network.restore();
      else app.network.cut();
      draw();
    };
    const notice = replayed ? t("panel.replayed", { n: replayed }) : t(down ? "panel.is_down" : "panel.is_up");
    return [
      el("h3", {}, t("panel.network")),
      button(t(down ? "panel.restore" : "panel.cut"), turn, { kind: down ? "main" : "danger", key: "network" }),
      el("p", { class: "hint", role: "status" }, notice),
    ];
  }

  list.classList.add("no-passing");
  return { draw, noteFrame, noteCall };
}

const number = ({ seq, code }) => (seq !== undefined ? `#${seq}` : code !== undefined ? String(code) : "");

/** One line of the list; shown again, it stays as open as it is. */
class Entry {
  constructor(name) {
    this._mark = el("i", {});
    this._more = el("small", {});
    this._time = el("time", {});
    this._text = el("pre", {});
    this._body = null;
    this._details = el("details", {}, el("summary", {}, this._time, el("b", {}, name), this._mark, this._more), this._text);
    this._details.addEventListener("toggle", () => this._write());
    this.node = el("li", {}, this._details);
  }

  show(kind, mark, body, more) {
    this.node.className = kind;
    this._time.textContent = new Date().toTimeString().slice(0, 8);
    this._mark.textContent = mark;
    this._more.textContent = more;
    this._body = body;
    this._write();
  }

  /** Only when it is open: most are never looked into. */
  _write() {
    this._text.textContent = this._details.open ? JSON.stringify(this._body, null, 1) : "";
  }
}
