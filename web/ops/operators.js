// Operators: a list in which admins add, change and reset others; and the user's own password and app.

import { api, get, renewSession, session } from "/ops/api.js";
import { openFormDialog } from "/ops/form_dialog.js";
import { card, definitionList, statusDot } from "/ops/dom.js";
import { button, el, fill } from "/ops/shared/dom.js";
import { showToast } from "/ops/shared/toast.js";
import { formatDateTime } from "/ops/format.js";
import { maxLength, reasonField } from "/ops/form.js";
import { codeText, t } from "/ops/i18n.js";
import { list, localPages } from "/ops/list.js";
import { checkRepeated, codeField, factorPart, newPasswordFields, passwordField } from "/ops/login.js";

const ROLES = ["viewer", "moderator", "finance", "admin"];
const STATE_KINDS = { active: "good", waiting: "warn", locked: "bad", disabled: "muted" };

export function operatorsPage(container) {
  const columns = [
    { head: t("operator_name"), cell: (row) => row.name },
    { head: t("role"), cell: (row) => codeText("operator_role", row.role) },
    { head: t("state"), cell: (row) => statusDot(STATE_KINDS[row.state], codeText("operator_state", row.state)) },
    { head: t("last_login"), cell: (row) => formatDateTime(row.last_login_at) },
    { head: t("actions"), kind: "actions", cell: (row) => actions(row, () => rows.reload()) },
  ];
  const rows = list({ label: t("operators"), columns, load: localPages(() => get("operators"), () => true) });
  const add = async () => (await addOperator()) && rows.reload();
  fill(container, card("",
    el("div", { class: "card-head" }, el("p", { class: "note" }, t("operators_note")), button(t("add_operator"), add, { kind: "main" })),
    rows.node));
}

function actions({ name, role, state }, reload) {
  if (name === session().name) return el("a", { href: "#/account" }, t("account"));
  const change = (action, fields, danger = true) => async () => (await changeOperator(name, action, fields, danger)) && reload();
  const reset = async () => (await resetOperator(name)) && reload();
  return [
    button(t("change_role"), async () => (await changeRole(name, role)) && reload()),
    button(t("reset_operator"), reset),
    button(t("end_sessions"), change("end_operator_sessions", { end_sessions: true })),
    state === "disabled"
      ? button(t("enable_operator"), change("enable_operator", { disabled: false }, false))
      : button(t("disable_operator"), change("disable_operator", { disabled: true }), { kind: "danger" }),
  ];
}

const roleField = (value) =>
  ({ name: "role", label: t("role"), kind: "choice", value, choices: ROLES.map((role) => [role, codeText("operator_role", role)]) });

const addOperator = async () => showOneTimePassword(await openFormDialog({
  title: t("add_operator"),
  fields: [{ name: "name", label: t("operator_name"), required: true, hint: t("new_name_hint"), check: maxLength(32) }, roleField("viewer"), reasonField()],
  confirmLabel: t("add"),
  onConfirm: (values) => api("POST", "operators", values),
}));

const resetOperator = async (name) => showOneTimePassword(await openFormDialog({
  title: t("reset_operator_title", { name }), messages: [t("reset_operator_text")],
  fields: [reasonField()], confirmLabel: t("reset_operator"), danger: true,
  onConfirm: (values) => api("POST", `operators/${name}/reset`, values),
}));

/** Shows the password for the only time: it is stored nowhere. */
async function showOneTimePassword(answer) {
  if (answer?.password) await openFormDialog({
    title: t("one_time_title", answer),
    messages: [el("p", { class: "one-time" }, el("code", {}, answer.password)), t("one_time_text", answer)],
    confirmLabel: t("one_time_yes"),
  });
  return answer;
}

const changeRole = (name, role) => openFormDialog({
  title: t("change_role_title", { name }), fields: [roleField(role), reasonField()], confirmLabel: t("save"),
  onConfirm: (values) => patch(name, values),
});

/** `action`: disable_operator, enable_operator or end_operator_sessions. */
const changeOperator = (name, action, changes, danger) => openFormDialog({
  title: t(`${action}_title`, { name }), fields: [reasonField()], confirmLabel: t("confirm"), danger,
  onConfirm: (values) => patch(name, { ...values, ...changes }),
});

async function patch(name, changes) {
  await api("PATCH", `operators/${name}`, changes);
  showToast(t("operator_changed", { name }));
  return true;
}

// ---- the operator's own account

export function accountPage(container, poller) {
  const { name, role } = session();
  fill(container, card("",
    el("p", { class: "note" }, t("account_note")),
    definitionList([[t("operator_name"), name], [t("role"), codeText("operator_role", role)]]),
    el("div", { class: "actions" }, button(t("change_password"), () => changePassword(poller)), button(t("change_app"), () => changeApp(poller)))));
}

const presentFields = () => [passwordField("password", t("present_password"), "current-password"), codeField("code", t("present_code"), true)];

const changePassword = (poller) => openFormDialog({
  title: t("change_password"), fields: [...presentFields(), ...newPasswordFields()], confirmLabel: t("save"),
  onConfirm({ repeated, ...values }) {
    checkRepeated(values.new_password, repeated);
    return changeOwn(poller, values);
  },
});

async function changeApp(poller) {
  const factor = await get("account");
  return openFormDialog({
    title: t("change_app"), messages: [factorPart(factor)],
    fields: [...presentFields(), codeField("new_code", t("new_app_code"), true)], confirmLabel: t("save"),
    onConfirm: (values) => changeOwn(poller, { ...values, secret: factor.secret }),
  });
}

/** Stops the poller meanwhile, because the token of its requests ends with the change. */
async function changeOwn(poller, values) {
  poller.stop();
  try {
    renewSession(await api("PATCH", "account", values));
  } finally {
    poller.start();
  }
  showToast(t("account_changed"));
  return true;
}
