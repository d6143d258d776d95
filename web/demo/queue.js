// The mic queue with the host's buttons, the audience dialog, and the invitation dialog.

import { invitation } from "/sdk/qlive.js";
import { picture, renderIfChanged, openDialog } from "/demo/dom.js";
import { button, el, fill } from "/demo/shared/dom.js";
import { showToast } from "/demo/shared/toast.js";
import { nameButton } from "/demo/person.js";
import { t } from "/demo/i18n.js";

const SEAT_BY_GENDER = { 1: "male", 2: "female" };

export function drawQueue(node, page, app) {
  const { room, role, endReason } = page;
  const seatsTaken = [Boolean(room.male), Boolean(room.female)];
  renderIfChanged(node, [room.applicants, seatsTaken, role, page.isDeputy, endReason, app.me.user_id], () => {
    const rows = room.applicants;
    if (endReason || (!rows.length && role !== "host")) return [];
    return [
      el("h2", {}, t("queue", { n: rows.length })),
      rows.length
        ? el("ul", {}, rows.map((row) => el("li", {}, queueRow(row, page, app))))
        : el("p", { class: "empty" }, t("queue_empty")),
    ];
  });
}

function queueRow(row, page, app) {
  const params = { live_id: page.live_id, user_id: row.user_id };
  const { qlive } = app;
  const name = row.nickname || t("nameless");
  const seatTaken = Boolean(page.room[SEAT_BY_GENDER[row.gender]]);
  const isHost = page.role === "host";
  const mayDecline = isHost || (page.isDeputy && row.applied_at && row.user_id !== app.me.user_id);
  const actions = [
    isHost && inviteButton(row, params, qlive, seatTaken),
    mayDecline && button(t("turn_down"), () => qlive.leaveMicro(params), { kind: "small", key: `no-${row.user_id}`, label: t("turn_down_name", { name }) }),
  ];
  return [
    picture(row.face_url, name, "face small"),
    nameButton(page, row, name, el("small", {}, t(`gender.${row.gender}`), " · ", t(row.invited ? "invited" : "waiting"))),
    row.user_id === app.me.user_id ? el("span", { class: "tag" }, t("yourself")) : null,
    actions,
  ];
}

function inviteButton(row, params, qlive, seatTaken) {
  const name = row.nickname || t("nameless");
  const label = row.invited ? t("invited") : seatTaken ? t("seat_full") : t("invite");
  return button(label, () => qlive.inviteMicro(params), {
    kind: "main small",
    key: `yes-${row.user_id}`,
    label: row.invited || seatTaken ? undefined : t("invite_name", { name }),
    disabled: row.invited || seatTaken,
  });
}

/** Dialog of the host, and in part of a deputy: invites and removes users, mutes everybody, lets in again. */
export async function openAudience(page, app) {
  const list = el("div", { class: "audience" }, el("p", { class: "empty" }, t("loading")));
  const dialog = openDialog(t("audience_title"), {}, list);
  const { qlive } = app;
  const params = { live_id: page.live_id };
  const pages = await Promise.all([1, 2].map((gender) => qlive.getUsersInfo({ ...params, gender, page: 1 })));
  const isHost = page.role === "host";
  const bans = isHost ? await qlive.roomBans(params) : [];
  const { user_id: ownId } = app.me;
  const rows = pages
    .flatMap((people, n) => people.map((person) => ({ ...person, gender: n + 1 })))
    .filter(({ user_id }) => user_id !== ownId);
  const act = (call, more) => async () => {
    await qlive[call]({ ...params, ...more });
    dialog.close();
  };
  const row = (person) => {
    const { user_id, nickname, gender } = person;
    const name = nickname || t("nameless");
    const isInvited = Boolean(invitation(page, user_id));
    const seatTaken = Boolean(page.room[SEAT_BY_GENDER[gender]]);
    const isMuted = page.room.muted.some((each) => each.user_id === user_id);
    const isDeputy = page.room.deputies.includes(user_id);
    const states = [t(`gender.${gender}`), t(person.state ? "waiting" : "watching"), isDeputy && t("deputy"), isMuted && t("muted"), person.blocked && t("blocked")];
    return el(
      "li",
      {},
      picture(person.face_url, name, "face small"),
      nameButton(page, person, name, el("small", {}, states.filter(Boolean).join(" · "))),
      isHost && button(isInvited ? t("invited") : seatTaken ? t("seat_full") : t("invite"), act("inviteMicro", { user_id }), { kind: "main small", disabled: isInvited || seatTaken || person.blocked, label: isInvited || seatTaken ? undefined : t("invite_name", { name }) }),
      (isHost || !isDeputy) && button(t("put_out"), act("putOut", { user_id, minutes: 1 }), { kind: "small danger", label: t("put_out_name", { name }) }),
    );
  };
  const on = !page.room.mute_all;
  fill(
    list,
    rows.length ? el("ul", {}, rows.map(row)) : el("p", { class: "empty" }, t("audience_empty")),
    bans.length > 0 && [el("h3", {}, t("bans")), el("ul", {}, bans.map((ban) => el("li", {}, banRow(ban, act))))],
    el("div", { class: "buttons" }, isHost ? button(t(on ? "mute_all" : "unmute_all"), act("muteAll", { on })) : button(t("resign"), act("deputy", { user_id: ownId, on: false }))),
  );
}

function banRow({ user_id, nickname, face_url, until, by_operator }, act) {
  const name = nickname || t("nameless");
  const time = new Date(until).toTimeString().slice(0, 5);
  return [
    picture(face_url, name, "face small"),
    el("span", { class: "name" }, name, el("small", {}, t(by_operator ? "banned_by_operator" : "banned_until", { time }))),
    !by_operator && button(t("let_in"), act("letIn", { user_id }), { kind: "small", label: t("let_in_name", { name }) }),
  ];
}

/** Dialog of an invitation to the mic; if closed, it stays `open` until it is answered. */
export class Invitation {
  constructor(page) {
    this._page = page;
    this._dialog = null;
    this._expiresAt = 0;
  }

  get open() {
    return this._expiresAt > 0;
  }

  draw(room) {
    const { app } = this._page;
    const invited = invitation({ room }, app.me.user_id);
    if (!invited) this.close();
    else if (invited.expires_at !== this._expiresAt) {
      this._expiresAt = invited.expires_at;
      // Do not interrupt an open payment or gift dialog; a button opens the invitation later.
      const other = document.querySelector("dialog[open]:not(.invitation)");
      if (other) showToast(t("invited_title"));
      else this.show();
    }
  }

  close() {
    this._expiresAt = 0;
    const dialog = this._dialog;
    this._dialog = null;
    if (dialog) dialog.close();
  }

  show() {
    const { app, live_id, room } = this._page;
    const accept = () => app.qlive.acceptMicro({ live_id });
    const refuse = () => app.qlive.refuseMicro({ live_id });
    const countdown = el("b", { class: "countdown" });
    const updateCountdown = () => {
      countdown.textContent = t("seconds", { n: Math.max(0, Math.ceil((this._expiresAt - Date.now()) / 1000)) });
    };
    const timer = setInterval(updateCountdown, 500);
    updateCountdown();
    this._dialog = openDialog(
      t("invited_title"),
      { kind: "invitation", onclose: () => clearInterval(timer) },
      picture(room.owner.face_url, room.owner.nickname, "face large"),
      el("p", {}, t("invited_text", { name: room.owner.nickname })),
      countdown,
      el("div", { class: "buttons" }, button(t("refuse"), refuse), button(t("accept"), accept, { kind: "main" })),
    );
  }
}
