// How the connection is, said as it is: connecting, live, lost and when it tries again, caught up.

import { button, el, refill } from "/demo/dom.js";
import { t } from "/demo/words.js";

const NEWS_MS = 8000; // so long it is said what was caught up

export class LineShown {
  constructor(socket, redraw) {
    this.node = el("div", { class: "line", role: "status" });
    this._socket = socket;
    this._redraw = redraw;
    this._now = { phase: "connecting", attempt: 0 };
    this._tryAt = 0;
    this._timer = null;
    this._left = el("span", { class: "left-seconds", "aria-hidden": "true" });
  }

  follow(now) {
    clearTimeout(this._timer);
    if (now.phase === "reconnecting") this._tryAt = Date.now() + now.delay;
    this._now = now;
    if (now.phase === "resumed" || (now.phase === "live" && now.reset)) {
      this._timer = setTimeout(() => {
        this._now = { phase: "live", reset: null };
        this._redraw();
      }, NEWS_MS);
    }
  }

  close() {
    clearTimeout(this._timer);
  }

  draw() {
    clearTimeout(this._counting);
    const now = this._now;
    const left = now.phase === "reconnecting" ? Math.max(0, Math.ceil((this._tryAt - Date.now()) / 1000)) : 0;
    refill(this.node, [now], () => this._shown(now));
    // Beside what is read out: a countdown would be read out every second.
    this._left.textContent = left > 0 ? t("line.seconds", { n: left }) : "";
    this.node.className = `line ${kind(now)}`;
    if (left > 0 && this.node.isConnected) this._counting = setTimeout(() => this.draw(), 500);
  }

  _shown(now) {
    const soon = now.phase === "reconnecting";
    return [
      el("i", { class: "dot", "aria-hidden": "true" }),
      el("span", { class: "says" }, sentence(now)),
      soon && this._left,
      soon && button(t("line.try_now"), () => this._socket.wake(), { kind: "quiet", key: "wake" }),
    ];
  }
}

function kind({ phase, reset, attempt }) {
  if (phase === "live") return reset ? "news" : "good";
  if (phase === "resumed") return "news";
  if (phase === "connecting") return attempt ? "lost" : "still";
  return phase === "reconnecting" ? "lost" : "still";
}

function sentence(now) {
  if (now.phase === "connecting") return t(now.attempt ? "line.again" : "line.connecting", { n: now.attempt });
  if (now.phase === "reconnecting") return t("line.reconnecting", { n: now.attempt, code: now.code });
  if (now.phase === "resumed") return t(now.replayed ? "line.resumed" : "line.resumed_none", { n: now.replayed });
  if (now.phase === "live") return now.reset ? t("line.reset", { why: t(`line.reset.${now.reset}`) }) : t("line.live");
  return t("line.closed", { code: now.code });
}
