// Invitations into a live: the dialog of the invited user, and that of the host or a deputy who invites.

import { openDialog, picture } from "/demo/dom.js";
import { button, checkbox, el } from "/demo/shared/dom.js";
import { showToast } from "/demo/shared/toast.js";
import { t } from "/demo/i18n.js";

/** The user's invitations: each is shown once by itself, when no other dialog is open. */
export class RoomInvitations {
  constructor(app) {
    this._app = app;
    this._shownIds = new Set();
    this._dialog = null;
    this._dialogId = "";
    document.addEventListener("close", () => this.draw(), true); // of another dialog
  }

  /** Those into rooms other than the one that is shown. */
  get open() {
    const { qlive, me, page } = this._app;
    const invitations = (me && qlive.channel().state?.invitations) ?? [];
    return invitations.filter(({ kind, live_id }) => kind === "room" && live_id !== page.live_id);
  }

  draw() {
    const { open } = this;
    if (!open.some(({ invitation_id }) => invitation_id === this._dialogId)) this._dialog?.close();
    const next = open.find(({ invitation_id }) => !this._shownIds.has(invitation_id));
    if (next && !document.querySelector("dialog[open]")) this._show(next);
  }

  /** A button for each, by which it is opened once more. */
  buttons() {
    const text = ({ host, room_name }) => t("invitation.from", { name: host.nickname, room: room_name });
    return this.open.map((row) => button(text(row), () => this._show(row), { kind: "golden", key: row.invitation_id }));
  }

  _show({ invitation_id: ticket, live_id, room_name, host, expires_at }) {
    const { _app: app } = this;
    const enter = async () => {
      await app.enterRoom({ ticket });
      this._dialog?.close();
    };
    const refuse = () => app.qlive.withdrawInvitation({ live_id, ticket });
    const time = new Date(expires_at).toTimeString().slice(0, 5);
    this._shownIds.add(ticket);
    this._dialogId = ticket;
    this._dialog = openDialog(
      t("invitation.title"),
      { kind: "invitation" },
      picture(host.face_url, host.nickname, "face large"),
      el("p", {}, t("invitation.from", { name: host.nickname, room: room_name })),
      el("p", { class: "hint" }, t("invitation.until", { time })),
      el("div", { class: "buttons" }, button(t("refuse"), refuse), button(t("invitation.enter"), enter, { kind: "main" })),
    );
  }
}

/** The host's switch between a private and a public live, and a link that invites. */
export function openInvite({ app, live_id, room, role }) {
  const { qlive } = app;
  const link = el("input", { id: "invite-link", readonly: true });

  async function copy() {
    link.select();
    const isCopied = await navigator.clipboard?.writeText(link.value).then(() => true, () => false);
    showToast(t(isCopied ? "invite.copied" : "invite.made"));
  }

  async function make() {
    const { ticket } = await qlive.invitation({ live_id, by: "link" });
    link.value = `${location.origin}/?t=${ticket}`;
    linkField.hidden = false;
    await copy();
  }

  async function setPrivate({ target }) {
    target.disabled = true;
    const visibility = target.checked ? "private" : "public";
    try {
      await qlive.updateRoom({ live_id, visibility });
    } catch (error) {
      target.checked = !target.checked;
      throw error;
    } finally {
      target.disabled = false;
      target.focus();
    }
  }

  const linkField = el(
    "div",
    { class: "field", hidden: true },
    el("label", { for: "invite-link" }, t("invite.link")),
    el("div", { class: "amount" }, link, button(t("invite.copy"), copy, { kind: "small" })),
  );
  const privateSwitch = [
    checkbox(t("private"), { role: "switch", checked: room.visibility === "private", onchange: setPrivate, "aria-describedby": "private-says" }),
    el("p", { class: "hint", id: "private-says" }, t("private.text")),
  ];
  openDialog(
    t("invite.title"),
    { kind: "invite" },
    role === "host" && privateSwitch,
    linkField,
    el("p", { class: "hint" }, t("invite.text")),
    el("div", { class: "buttons" }, button(t("invite.make"), make, { kind: "main" })),
  );
}
