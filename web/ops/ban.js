// Dialogs that ban and unban a user, grant or remove the matchmaker role, and verify that a user is an adult.

import { api } from "/ops/api.js";
import { openFormDialog } from "/ops/form_dialog.js";
import { showToast } from "/ops/shared/toast.js";
import { reasonField } from "/ops/form.js";
import { t } from "/ops/i18n.js";

const idOf = (user) => user.user_id ?? user.id;
const nameOf = (user) => user.nickname || idOf(user);

/** Resolves with the updated user, or undefined if cancelled. */
export function ban(user) {
  return openFormDialog({
    title: t("ban_title", { name: nameOf(user) }),
    messages: [t("ban_text")],
    fields: [reasonField(true, "ban_reason")],
    confirmLabel: t("ban_yes"),
    danger: true,
    onConfirm: (values) => patchUser(user, { banned: true, ...values }, t("ban_done", { name: nameOf(user) })),
  });
}

export function unban(user) {
  return openFormDialog({
    title: t("unban_title", { name: nameOf(user) }),
    messages: [t("unban_text", { reason: user.ban_reason || "–" })],
    confirmLabel: t("unban_yes"),
    onConfirm: () => patchUser(user, { banned: false }, t("unban_done", { name: nameOf(user) })),
  });
}

export function promote(user) {
  const becomesMatchmaker = !user.is_matchmaker;
  return openFormDialog({
    title: t(becomesMatchmaker ? "promote_title" : "demote_title", { name: nameOf(user) }),
    messages: [t(becomesMatchmaker ? "promote_text" : "demote_text")],
    confirmLabel: t(becomesMatchmaker ? "promote_yes" : "demote_yes"),
    danger: !becomesMatchmaker,
    onConfirm: () => patchUser(user, { is_matchmaker: becomesMatchmaker }, t(becomesMatchmaker ? "promote_done" : "demote_done", { name: nameOf(user) })),
  });
}

export function verifyAge(user) {
  const which = user.age_verified_at ? "unverify" : "verify";
  return openFormDialog({
    title: t(`${which}_title`, { name: nameOf(user) }),
    messages: [t(`${which}_text`)],
    fields: [reasonField()],
    confirmLabel: t(`${which}_yes`),
    danger: which === "unverify",
    onConfirm: (values) => patchUser(user, { age_verified: !user.age_verified_at, ...values }, t(`${which}_done`, { name: nameOf(user) })),
  });
}

async function patchUser(user, fields, message) {
  const updated = await api("PATCH", `users/${idOf(user)}`, fields);
  showToast(message);
  return updated;
}
