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
  let notice = "";
  let last = { name: "", times: 0 }; // the call on top, while the same one is made again and again

  function add(kind, name, mark, body, more) {
    list.prepend(entry(kind, name, mark, body, more));
    while (list.childElementCount > KEPT) list.lastElementChild.remove();
  }

  function noteFrame(frame) {
    heard += 1;
    const passing = PASSING.includes(frame.type);
    if (frame.type === "resumed") notice = t("panel.replayed", { n: frame.replayed });
    last = { name: "", times: 0 };
    add(passing ? "frame passing" : "frame", frame.type, number(frame), frame, "");
    draw();
  }

  function noteCall({ title: name, status, ms, body }) {
    const again = name === last.name;
    last = { name, times: again ? last.times + 1 : 1 };
    if (again) list.firstElementChild.remove();
    const times = again ? `×${last.times} · ` : "";
    add(status < 400 ? "call" : "call refused", name, String(status), body, `${times}${ms} ms`);
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
    refill(line, [app.network.down, notice], () => network(app));
    refill(title, [heard], () => [el("h3", {}, t("panel.frames"), " ", el("small", {}, String(heard))), tick("call"), tick("passing")]);
  }

  function network(app) {
    const { down } = app.network;
    const turn = () => {
      notice = "";
      if (down) app.network.restore();
      else app.network.cut();
      draw();
    };
    return [
      el("h3", {}, t("panel.network")),
      button(t(down ? "panel.restore" : "panel.cut"), turn, { kind: down ? "main" : "danger", key: "network" }),
      el("p", { class: "hint", role: "status" }, notice || t(down ? "panel.is_down" : "panel.is_up")),
    ];
  }

  list.classList.add("no-passing");
  return { draw, noteFrame, noteCall };
}

const number = ({ seq, code }) => (seq !== undefined ? `#${seq}` : code !== undefined ? String(code) : "");

function entry(kind, name, mark, body, more) {
  const at = new Date().toTimeString().slice(0, 8);
  const text = el("pre", {});
  const details = el("details", {}, el("summary", {}, el("time", {}, at), el("b", {}, name), el("i", {}, mark), more ? el("small", {}, more) : null), text);
  details.addEventListener("toggle", () => {
    text.textContent = details.open ? JSON.stringify(body, null, 1) : "";
  });
  return el("li", { class: kind }, details);
}
