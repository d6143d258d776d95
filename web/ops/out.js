// Putting somebody out of one room, and letting them in again.

import { api } from "/ops/api.js";
import { ask } from "/ops/ask.js";
import { say } from "/ops/dom.js";
import { between, reason } from "/ops/form.js";
import { t } from "/ops/i18n.js";

const LONGEST = 24 * 60;
const nameOf = (who) => who.nickname || who.user_id;

/** Asks once; true when they are out. */
export function putOut(live, who) {
  return ask({
    title: t("put_out_title", { name: nameOf(who) }),
    says: [t("put_out_says")],
    fields: [
      { name: "minutes", label: t("minutes_out"), kind: "number", required: true, value: 60, check: between(1, LONGEST) },
      reason(),
    ],
    yes: t("put_out"),
    danger: true,
    async act(values) {
      await api("POST", `rooms/${live}/put_out`, { user_id: who.user_id, ...values });
      say(t("put_out_done", { name: nameOf(who) }));
      return true;
    },
  });
}

/** Asks once; true when they may come back. */
export function letIn(live, who) {
  return ask({
    title: t("let_in_title", { name: nameOf(who) }),
    says: [t("let_in_says")],
    fields: [reason()],
    yes: t("let_in"),
    async act(values) {
      await api("POST", `rooms/${live}/let_in`, { user_id: who.user_id, ...values });
      say(t("let_in_done", { name: nameOf(who) }));
      return true;
    },
  });
}
