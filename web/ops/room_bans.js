// Dialogs that remove a user from a room for some time and lift such a ban.

import { api } from "/ops/api.js";
import { openFormDialog } from "/ops/form_dialog.js";
import { showToast } from "/ops/shared/toast.js";
import { between, reasonField } from "/ops/form.js";
import { t } from "/ops/i18n.js";

const MAX_MINUTES = 24 * 60;
const nameOf = (user) => user.nickname || user.user_id;

/** Resolves with true if the user was removed. */
export function removeUser(liveId, user) {
  return openFormDialog({
    title: t("put_out_title", { name: nameOf(user) }),
    messages: [t("put_out_text")],
    fields: [
      { name: "minutes", label: t("minutes_out"), kind: "number", required: true, value: 60, check: between(1, MAX_MINUTES) },
      reasonField(),
    ],
    confirmLabel: t("put_out"),
    danger: true,
    async onConfirm(values) {
      await api("POST", `rooms/${liveId}/put_out`, { user_id: user.user_id, ...values });
      showToast(t("put_out_done", { name: nameOf(user) }));
      return true;
    },
  });
}

/** Resolves with true if the ban was lifted. */
export function liftRoomBan(liveId, user) {
  return openFormDialog({
    title: t("let_in_title", { name: nameOf(user) }),
    messages: [t("let_in_text")],
    fields: [reasonField()],
    confirmLabel: t("let_in"),
    async onConfirm(values) {
      await api("POST", `rooms/${liveId}/let_in`, { user_id: user.user_id, ...values });
      showToast(t("let_in_done", { name: nameOf(user) }));
      return true;
    },
  });
}
