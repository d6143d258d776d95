// Who wants the mic, the host's buttons for them, and the invitation as its receiver sees it.

import { invitation } from "/sdk/qlive.js";
import { button, el, fill, picture, refill, say, sheet } from "/demo/dom.js";
import { t } from "/demo/words.js";

const SEAT = { 1: "male", 2: "female" };

export function drawQueue(node, page, app) {
  const { room, role, over } = page;
  const taken = [Boolean(room.male), Boolean(room.female)];
  refill(node, [room.applicants, taken, role, over, app.me.user_id], () => {
    const rows = room.applicants;
    if (over || (!rows.length && role !== "host")) return [];
    return [
      el("h2", {}, t("queue", { n: rows.length })),
      rows.length
        ? el("ul", {}, rows.map((row) => el("li", {}, waiting(row, page, app))))
        : el("p", { class: "empty" }, t("queue_empty")),
    ];
  });
}

function waiting(row, page, app) {
  const where = { live_id: page.live_id, user_id: row.user_id };
  const { qlive } = app;
  const name = row.nickname || t("nameless");
  const full = Boolean(page.room[SEAT[row.gender]]);
  const acts = page.role === "host" && [
    invite(row, where, qlive, full),
    button(t("turn_down"), () => qlive.leaveMicro(where), { kind: "small", key: `no-${row.user_id}`, label: t("turn_down_name", { name }) }),
  ];
  return [
    picture(row.face_url, name, "face small"),
    el("span", { class: "name" }, name, el("small", {}, t(`gender.${row.gender}`), " · ", t(row.invited ? "invited" : "waiting"))),
    row.user_id === app.me.user_id ? el("span", { class: "tag" }, t("yourself")) : null,
    acts,
  ];
}

function invite(row, where, qlive, full) {
  const name = row.nickname || t("nameless");
  const words = row.invited ? t("invited") : full ? t("seat_full") : t("invite");
  return button(words, () => qlive.inviteMicro(where), {
    kind: "main small",
    key: `yes-${row.user_id}`,
    label: row.invited || full ? undefined : t("invite_name", { name }),
    disabled: row.invited || full,
  });
}

/** Everybody in the room who is not on mic, to be invited or put out. */
export async function openAudience(page, app) {
  const list = el("div", { class: "audience" }, el("p", { class: "empty" }, t("looking")));
  const dialog = sheet(t("audience_title"), {}, list);
  const { qlive } = app;
  const where = { live_id: page.live_id };
  const found = await Promise.all([1, 2].map((gender) => qlive.getUsersInfo({ ...where, gender, page: 1 })));
  const rows = found.flatMap((people, n) => people.map((person) => ({ ...person, gender: n + 1 })));
  const row = (person) => {
    const { user_id, nickname, gender } = person;
    const name = nickname || t("nameless");
    const asked = Boolean(invitation(page, user_id));
    const call = async () => {
      await qlive.inviteMicro({ ...where, user_id });
      dialog.close();
    };
    const putOut = async () => {
      await qlive.putOut({ ...where, user_id, minutes: 1 });
      dialog.close();
    };
    const full = Boolean(page.room[SEAT[gender]]);
    return el(
      "li",
      {},
      picture(person.face_url, name, "face small"),
      el("span", { class: "name" }, name, el("small", {}, t(`gender.${gender}`), " · ", t(person.state ? "waiting" : "watching"))),
      button(asked ? t("invited") : full ? t("seat_full") : t("invite"), call, { kind: "main small", disabled: asked || full, label: asked || full ? undefined : t("invite_name", { name }) }),
      button(t("put_out"), putOut, { kind: "small danger", label: t("put_out_name", { name }) }),
    );
  };
  fill(list, rows.length ? el("ul", {}, rows.map(row)) : el("p", { class: "empty" }, t("audience_empty")));
}

/** The question whether one comes on mic; put aside, it stays `open` until it is answered. */
export class Invitation {
  constructor(page) {
    this._page = page;
    this._dialog = null;
    this._until = 0;
  }

  get open() {
    return this._until > 0;
  }

  draw(room) {
    const { app } = this._page;
    const mine = invitation({ room }, app.me.user_id);
    if (!mine) this.close();
    else if (mine.expires_at !== this._until) {
      this._until = mine.expires_at;
      // A payment or a half-chosen gift goes on; the button below waits as long as the invitation.
      const other = document.querySelector("dialog[open]:not(.invitation)");
      if (other) say(t("invited_title"));
      else this.show();
    }
  }

  close() {
    this._until = 0;
    const dialog = this._dialog;
    this._dialog = null;
    if (dialog) dialog.close();
  }

  show() {
    const { app, live_id, room } = this._page;
    const accept = () => app.qlive.acceptMicro({ live_id });
    const refuse = () => app.qlive.refuseMicro({ live_id });
    const left = el("b", { class: "left" });
    const count = () => {
      left.textContent = t("seconds", { n: Math.max(0, Math.ceil((this._until - Date.now()) / 1000)) });
    };
    const ticking = setInterval(count, 500);
    count();
    this._dialog = sheet(
      t("invited_title"),
      { kind: "invitation", onclose: () => clearInterval(ticking) },
      picture(room.owner.face_url, room.owner.nickname, "face large"),
      el("p", {}, t("invited_says", { name: room.owner.nickname })),
      left,
      el("div", { class: "buttons" }, button(t("refuse"), refuse), button(t("accept"), accept, { kind: "main" })),
    );
  }
}
