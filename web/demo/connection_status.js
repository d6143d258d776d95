// Connection status line: connecting, live, lost with a retry countdown, or resumed.

import { renderIfChanged } from "/demo/dom.js";
import { button, el } from "/demo/shared/dom.js";
import { t } from "/demo/i18n.js";

const NOTICE_MS = 8000; // how long a resume or reset is shown

export class ConnectionStatus {
  constructor(socket, redraw) {
    this.node = el("div", { class: "connection", role: "status" });
    this._socket = socket;
    this._redraw = redraw;
    this._status = { phase: "connecting", attempt: 0 };
    this._retryAt = 0;
    this._timer = null;
    this._countdown = el("span", { class: "retry-seconds", "aria-hidden": "true" });
  }

  follow(status) {
    clearTimeout(this._timer);
    if (status.phase === "reconnecting") this._retryAt = Date.now() + status.delay;
    this._status = status;
    if (status.phase === "resumed" || (status.phase === "live" && status.reset)) {
      this._timer = setTimeout(() => {
        this._status = { phase: "live", reset: null };
        this._redraw();
      }, NOTICE_MS);
    }
  }

  close() {
    clearTimeout(this._timer);
  }

  draw() {
    clearTimeout(this._countdownTimer);
    const status = this._status;
    const secondsLeft = status.phase === "reconnecting" ? Math.max(0, Math.ceil((this._retryAt - Date.now()) / 1000)) : 0;
    renderIfChanged(this.node, [status], () => this._content(status));
    // Outside the live region's text: a countdown would be announced every second.
    this._countdown.textContent = secondsLeft > 0 ? t("connection.seconds", { n: secondsLeft }) : "";
    this.node.className = `connection ${statusClass(status)}`;
    if (secondsLeft > 0 && this.node.isConnected) this._countdownTimer = setTimeout(() => this.draw(), 500);
  }

  _content(status) {
    const isWaiting = status.phase === "reconnecting";
    return [
      el("i", { class: "dot", "aria-hidden": "true" }),
      el("span", { class: "message" }, statusText(status)),
      isWaiting && this._countdown,
      isWaiting && button(t("connection.try_now"), () => this._socket.wake(), { kind: "quiet", key: "wake" }),
    ];
  }
}

function statusClass({ phase, reset, attempt }) {
  if (phase === "live") return reset ? "news" : "good";
  if (phase === "resumed") return "news";
  if (phase === "connecting") return attempt ? "lost" : "muted";
  return phase === "reconnecting" ? "lost" : "muted";
}

function statusText(status) {
  if (status.phase === "connecting") return t(status.attempt ? "connection.again" : "connection.connecting", { n: status.attempt });
  if (status.phase === "reconnecting") return t("connection.reconnecting", { n: status.attempt, code: status.code });
  if (status.phase === "resumed") return t(status.replayed ? "connection.resumed" : "connection.resumed_none", { n: status.replayed });
  if (status.phase === "live") return status.reset ? t("connection.reset", { why: t(`connection.reset.${status.reset}`) }) : t("connection.live");
  return t("connection.closed", { code: status.code });
}
