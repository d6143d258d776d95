// User page: profile, actions, sessions and ledger history.

import { api, get, may, newRequestId, permitted } from "/ops/api.js";
import { showOutcome } from "/ops/approvals.js";
import { openFormDialog } from "/ops/form_dialog.js";
import { ban, promote, unban, verifyAge } from "/ops/ban.js";
import { card, definitionList } from "/ops/dom.js";
import { button, el, fill, picture } from "/ops/shared/dom.js";
import { formatDateTime, formatDuration, formatInteger, genderText } from "/ops/format.js";
import { between, reasonField } from "/ops/form.js";
import { t } from "/ops/i18n.js";
import { entryList } from "/ops/ledger.js";
import { userBadges } from "/ops/people.js";
import { openCaseOf } from "/ops/refunds.js";
import { sessionCard } from "/ops/sessions.js";

const MAX_GOLD = 1_000_000_000;

export function personPage(container, _poller, id, query) {
  const head = el("div", { class: "person-cards" });
  const history = entryList({ user: id, query, onReversed: () => load() });
  fill(container, head, card(t("history"), history.node));

  async function load() {
    try {
      const [user, sessions] = await Promise.all([get(`users/${id}`), sessionCard(id, reload)]);
      fill(head, userCard(user, reload), sessions);
    } catch (error) {
      fill(head, card("", el("p", { class: "error", role: "alert" }, error.message)));
    }
  }
  const reload = () => { load(); history.reload(); };
  load();
}

function userCard(user, reload) {
  const reloadAfter = (action) => async () => (await action(user)) && reload();
  const actions = [
    permitted("POST GrantGold", button(t("grant"), reloadAfter(grantGold), { kind: "main" })),
    user.owed ? permitted("POST SettleDebt", button(t("pay_off"), reloadAfter((debtor) => payOffDebt(debtor, "gold")))) : null,
    user.owed_income ? permitted("POST SettleDebt", button(t("pay_off_income"), reloadAfter((debtor) => payOffDebt(debtor, "income")))) : null,
    permitted("POST Refunds", button(t("refund"), () => openCaseOf(user.id))),
    permitted("PATCH OneUser", button(t(user.is_matchmaker ? "demote" : "promote"), reloadAfter(promote))),
    permitted("PATCH OneUser", button(t(user.age_verified_at ? "unverify" : "verify"), reloadAfter(verifyAge))),
    permitted("PATCH OneUser", user.banned ? button(t("unban"), reloadAfter(unban)) : button(t("ban"), reloadAfter(ban), { kind: "danger" })),
    el("a", { class: "button", href: `#/orders?q=${user.id}` }, t("their_orders")),
    el("a", { class: "button", href: `#/moderation?state=&user_id=${user.id}` }, t("moderation")),
    may("GET Withdrawals") ? el("a", { class: "button", href: `#/withdrawals?state=&user_id=${user.id}` }, t("withdrawals")) : null,
  ];
  return el("section", { class: "card person-head" },
    picture(user.face_url, user.nickname, "face large"),
    el("div", { class: "grows" },
      el("h2", {}, user.nickname || t("nameless"), " ", userBadges(user)),
      user.delete_at ? el("p", { class: "error" }, t("leaves_at", { at: formatDateTime(user.delete_at) })) : null,
      user.deleted_at ? el("p", { class: "error" }, t("deleted_at", { at: formatDateTime(user.deleted_at) })) : null,
      user.banned ? el("p", { class: "error" }, t("banned_for", { reason: user.ban_reason || "–" })) : null,
      definitionList([
        [t("user_id"), user.id],
        [t("gold"), el("b", {}, formatInteger(user.gold))],
        [t("income"), el("b", {}, formatInteger(user.income))],
        [t("owed"), formatInteger(user.owed)],
        [t("owed_income"), formatInteger(user.owed_income)],
        [t("gender"), genderText(user.gender)],
        [t("age"), String(user.age || "–")],
        [t("age_verified"), formatDateTime(user.age_verified_at)],
        [t("area"), user.area || "–"],
        [t("hosted"), formatDuration(user.continuous_time)],
        [t("joined"), formatDateTime(user.create_time)],
        [t("last_login"), formatDateTime(user.last_login_time)],
      ]),
      el("div", { class: "actions" }, actions)));
}

function grantGold(user) {
  const idempotency = { request_id: newRequestId() }; // one key per dialog, so that submitting it again has no effect
  return openFormDialog({
    title: t("grant_title", { name: user.nickname || user.id }),
    messages: [t("grant_text")],
    fields: [
      { name: "gold", label: t("gold"), kind: "number", required: true, check: between(1, MAX_GOLD) },
      reasonField(),
    ],
    confirmLabel: t("grant_yes"),
    async onConfirm(values) {
      const balance = await api("POST", `users/${user.id}/grant`, { ...values, ...idempotency });
      showOutcome(balance, t("grant_done", { gold: formatInteger(values.gold), has: formatInteger(balance.gold) }));
      return balance;
    },
  });
}

/** `unit`: gold or income. */
function payOffDebt(user, unit) {
  const idempotency = { request_id: newRequestId(), unit };
  const owed = unit === "gold" ? user.owed : user.owed_income;
  const amount = `${formatInteger(user[unit])} ${t(unit)}`;
  return openFormDialog({
    title: t("pay_off_title", { name: user.nickname || user.id }),
    messages: [t("pay_off_text", { owed: formatInteger(owed), unit: t(unit) })],
    fields: [
      { name: "gold", label: t(unit), kind: "number", required: true, value: owed, check: between(1, owed) },
      { name: "paid_by", label: t("paid_by"), kind: "choice", choices: [["user", t("paid_by_user", { amount })], ["house", t("paid_by_house")]], value: "user" },
      reasonField(),
    ],
    confirmLabel: t("pay_off_yes"),
    danger: true,
    async onConfirm(values) {
      const balance = await api("POST", `users/${user.id}/settle`, { ...values, ...idempotency });
      showOutcome(balance, t("pay_off_done", { n: formatInteger(values.gold), unit: t(unit) }));
      return balance;
    },
  });
}
