// The line in which a user writes to the room. It is off while the user is muted.

import { mutedUntil } from "/sdk/qlive.js";
import { renderIfChanged } from "/demo/dom.js";
import { button, el } from "/demo/shared/dom.js";
import { t } from "/demo/i18n.js";

export class ChatLine {
  constructor(page, onMessage) {
    const { chat } = page.app;
    this._page = page;
    this._joined = false;
    this._field = el("input", { maxlength: 200, autocomplete: "off", enterkeyhint: "send", disabled: true });
    this._button = el("div", {});
    this._field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.isComposing) this._button.firstElementChild.click();
    });
    const onConnection = ({ joined }) => {
      this._joined = joined;
      page.draw();
    };
    this._removers = [chat.on("message", onMessage), chat.on("connection", onConnection)];
    this.node = el("div", { class: "chat-input" }, this._field, this._button);
  }

  /** Joins the room's chat unless it is joined; a failure is repeated with the next connection. */
  join(socket) {
    if (!this._joined) this._page.app.chat.join(socket).catch(() => {});
  }

  close() {
    clearTimeout(this._timer);
    for (const remove of this._removers) remove();
    this._page.app.chat.leave();
  }

  draw() {
    const { room, endReason, app } = this._page;
    const left = mutedUntil({ room }, app.me.user_id) - Date.now();
    const text = left > 0 ? mutedText(left) : t(this._joined ? "say" : "connection.connecting");
    const disabled = left > 0 || !this._joined;
    this.node.hidden = endReason !== "";
    Object.assign(this._field, { disabled, placeholder: text, ariaLabel: text });
    if (left > 0) this._field.value = "";
    renderIfChanged(this._button, [disabled], () => button(t("say.send"), () => this._send(), { kind: "main", disabled }));
    clearTimeout(this._timer);
    if (left > 0 && left < Infinity) this._timer = setTimeout(() => this.draw(), 1000);
  }

  async _send() {
    const text = this._field.value.trim();
    if (text) await this._page.app.chat.send(text);
    this._field.value = "";
  }
}

/** The time left as minutes and seconds, with hours before them if there are any. */
const mutedText = (left) =>
  left === Infinity ? t("event.mute_all.true") : t("say.muted", { time: new Date(left + 999).toISOString().slice(11, 19).replace(/^00:/, "") });
