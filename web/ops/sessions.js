// Sessions of a user: a table of their logins, and the dialogs that end them.

import { api, get, permitted } from "/ops/api.js";
import { openFormDialog } from "/ops/form_dialog.js";
import { card, scrollTable } from "/ops/dom.js";
import { button, el } from "/ops/shared/dom.js";
import { showToast } from "/ops/shared/toast.js";
import { formatDateTime } from "/ops/format.js";
import { reasonField } from "/ops/form.js";
import { t } from "/ops/i18n.js";

const ID_LENGTH = 8; // enough to tell the sessions of a user apart

/** The card; `onEnded` is called after sessions have ended. */
export async function sessionCard(userId, onEnded) {
  const sessions = (await get(`users/${userId}/sessions`)).items;
  if (!sessions.length) return card(t("sessions"), el("p", { class: "empty" }, t("no_sessions")));
  const endAfter = (session) => async () => (await endSessions(userId, session)) && onEnded();
  const headings = [...["session", "login_at", "used_at", "ends_at"].map((key) => t(key)), [t("actions"), "actions"]];
  const rows = sessions.map((session) => el("tr", {},
    el("td", {}, el("code", {}, session.id.slice(0, ID_LENGTH))),
    el("td", {}, formatDateTime(session.made_at)),
    el("td", {}, formatDateTime(session.used_at)),
    el("td", {}, formatDateTime(session.expires_at)),
    el("td", { class: "actions" }, permitted("DELETE Sessions", button(t("end_session"), endAfter(session))))));
  return card(t("sessions"),
    scrollTable(t("sessions"), headings, rows),
    el("div", { class: "actions" }, permitted("DELETE Sessions", button(t("end_sessions"), endAfter(null), { kind: "danger" }))));
}

/** Ends one session, or all if it is null; resolves with undefined if cancelled. */
function endSessions(userId, session) {
  return openFormDialog({
    title: session ? t("end_session_title", { id: session.id.slice(0, ID_LENGTH) }) : t("end_sessions_title"),
    messages: [t(session ? "end_session_text" : "end_sessions_text")],
    fields: [reasonField()],
    confirmLabel: t("end_sessions_yes"),
    danger: true,
    async onConfirm(values) {
      const { ended } = await api("DELETE", `users/${userId}/sessions`, session ? { ...values, id: session.id } : values);
      showToast(t("sessions_ended", { n: ended }));
      return ended;
    },
  });
}
