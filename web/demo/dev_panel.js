// Developer panel: the network switch, links for more users, and every frame and API call.

import { renderIfChanged } from "/demo/dom.js";
import { button, checkbox, el } from "/demo/shared/dom.js";
import { newWindowLinks } from "/demo/login.js";
import { t } from "/demo/i18n.js";

const MAX_ENTRIES = 150;
const FREQUENT_TYPES = ["audience", "heartbeat", "pong"];

/** `getApp()` returns the app; called when there is something to draw. */
export function panel(node, getApp) {
  const head = el("header", { class: "panel-head" });
  const peopleCard = el("section", { class: "card" });
  const networkCard = el("section", { class: "card" });
  const list = el("ol", { class: "frames", tabindex: "0" });
  const title = el("div", { class: "frames-head" });
  node.append(head, el("div", { class: "cards" }, peopleCard, networkCard), el("section", { class: "card grows" }, title, list));
  const hidden = { own: false, call: false, passing: true };
  let frameCount = 0;
  let replayed = 0; // number of events that the last resume of the room replayed
  let lastCall = { name: "", times: 0, entry: null }; // repeated calls share an entry

  function add(entry) {
    list.prepend(entry.node);
    while (list.childElementCount > MAX_ENTRIES) list.lastElementChild.remove();
  }

  /** `isOwn`: of the user's channel, which the room's connection may carry. */
  function addFrame(frame, isOwn = false) {
    frameCount += 1;
    const isFrequent = FREQUENT_TYPES.includes(frame.type);
    if (frame.type === "resumed" && !isOwn) replayed = frame.replayed;
    if (!isOwn) lastCall = { name: "", times: 0, entry: null };
    const entry = new Entry(frame.type, isOwn && "own");
    const kinds = ["frame", isOwn && "own", isFrequent && "passing"].filter(Boolean);
    entry.show(kinds.join(" "), frameNumber(frame), frame, "");
    add(entry);
    draw();
  }

  function addCall({ title: name, status, ms, body }) {
    const isRepeated = name === lastCall.name;
    lastCall = isRepeated ? { ...lastCall, times: lastCall.times + 1 } : { name, times: 1, entry: new Entry(name) };
    const times = isRepeated ? `×${lastCall.times} · ` : "";
    lastCall.entry.show(status < 400 ? "call" : "call refused", String(status), body, `${times}${ms} ms`);
    if (!isRepeated) add(lastCall.entry);
  }

  function filterBox(name) {
    const onChange = ({ target }) => {
      hidden[name] = !target.checked;
      list.classList.toggle(`no-${name}`, hidden[name]);
    };
    return checkbox(t(`panel.${name}`), { checked: !hidden[name], onchange: onChange, "data-key": name });
  }

  function draw() {
    const app = getApp();
    const live_id = app.page?.live_id || null;
    node.setAttribute("aria-label", t("panel"));
    list.setAttribute("aria-label", t("panel.frames"));
    renderIfChanged(head, [], () => [
      el("h2", {}, t("panel.title")),
      button("×", () => document.body.classList.remove("panel-open"), { kind: "round only-narrow", label: t("close") }),
      el("p", {}, t("panel.text")),
    ]);
    renderIfChanged(peopleCard, [live_id], () => [el("h3", {}, t("other_users")), newWindowLinks(live_id), el("p", { class: "hint" }, t("other_users_hint"))]);
    renderIfChanged(networkCard, [app.network.down, replayed], () => networkSwitch(app));
    renderIfChanged(title, [frameCount], () => [el("h3", {}, t("panel.frames"), " ", el("small", {}, String(frameCount))), filterBox("own"), filterBox("call"), filterBox("passing")]);
  }

  function networkSwitch(app) {
    const { down } = app.network;
    const toggle = () => {
      replayed = 0;
      if (down) app.network.restore();
      else app.network.cut();
      draw();
    };
    const notice = replayed ? t("panel.replayed", { n: replayed }) : t(down ? "panel.is_down" : "panel.is_up");
    return [
      el("h3", {}, t("panel.network")),
      button(t(down ? "panel.restore" : "panel.cut"), toggle, { kind: down ? "main" : "danger", key: "network" }),
      el("p", { class: "hint", role: "status" }, notice),
    ];
  }

  list.classList.add("no-passing");
  return { draw, addFrame, addCall };
}

const frameNumber = ({ seq, code }) => (seq !== undefined ? `#${seq}` : code !== undefined ? String(code) : "");

/** One entry of the list; it stays expanded when it is updated. */
class Entry {
  constructor(name, tag = null) {
    this._label = el("i", {});
    this._suffix = el("small", {});
    this._time = el("time", {});
    this._text = el("pre", {});
    this._body = null;
    this._details = el("details", {}, el("summary", {}, this._time, el("b", {}, name), tag && el("em", {}, tag), this._label, this._suffix), this._text);
    this._details.addEventListener("toggle", () => this._write());
    this.node = el("li", {}, this._details);
  }

  show(kind, label, body, suffix) {
    this.node.className = kind;
    this._time.textContent = new Date().toTimeString().slice(0, 8);
    this._label.textContent = label;
    this._suffix.textContent = suffix;
    this._body = body;
    this._write();
  }

  /** Renders the JSON only while expanded: most entries never are. */
  _write() {
    this._text.textContent = this._details.open ? JSON.stringify(this._body, null, 1) : "";
  }
}
