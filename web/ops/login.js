// Login page, and the page of the first login, which sets password and second factor.

import { logIn, loginOptions, Refused } from "/ops/api.js";
import { button, el, fill } from "/ops/shared/dom.js";
import { form, maxLength } from "/ops/form.js";
import { t } from "/ops/i18n.js";

const MIN_PASSWORD = 12;
const DEMO_LOGIN = "/sim/operator/login"; // in development only

const nameField = () =>
  ({ name: "name", label: t("operator_name"), required: true, autocomplete: "username", check: maxLength(32) });
export const codeField = (name, label, required, hint) =>
  ({ name, label, required, hint, autocomplete: "one-time-code", mode: "numeric",
    check: (text) => (!text || /^[0-9]{6}$/.test(text) ? "" : t("wrong.code")) });
export const passwordField = (name, label, autocomplete, more = {}) =>
  ({ name, label, type: "password", required: true, autocomplete, ...more });

/** Shows the login page; `onLogin` is called once the operator is logged in. */
export function showLogin({ message = "", languageSwitch, onLogin }) {
  const fields = form([
    nameField(),
    passwordField("password", t("password"), "current-password"),
    codeField("code", t("code_label"), false, t("code_hint")),
  ]);
  const demo = el("div", { class: "demo" });
  const page = singleFormPage({
    title: t("log_in"), message, fields, parts: [demo], languageSwitch, confirmLabel: t("log_in"),
    async onConfirm(values) {
      try {
        await logIn("/ops/api/login", values);
      } catch (error) {
        if (error.code !== "first_login") throw error;
        return showFirstLogin({ name: values.name, password: values.password, languageSwitch, onLogin });
      }
      return onLogin();
    },
  });
  loginOptions().then(({ demo: isDemo }) => {
    const logInAsDemo = page.attempt(async () => {
      await logIn(DEMO_LOGIN, {});
      onLogin();
    });
    if (isDemo) fill(demo, button(t("demo_login"), logInAsDemo), el("p", { class: "hint" }, t("demo_hint")));
  }, page.showError);
}

/** Asks for a new password and for a code of the second factor, whose QR code it shows. */
async function showFirstLogin({ name, password, languageSwitch, onLogin }) {
  const factor = await logIn("/ops/api/login/setup", { name, password });
  const fields = form([
    ...newPasswordFields(),
    codeField("code", t("code_label"), true, t("first_code_hint")),
  ]);
  singleFormPage({
    title: t("first_login"), fields, partsBefore: [el("p", { class: "message" }, t("first_login_text", { name })), factorPart(factor)],
    languageSwitch, confirmLabel: t("first_login_yes"),
    async onConfirm({ new_password: newPassword, repeated, code }) {
      checkRepeated(newPassword, repeated);
      await logIn("/ops/api/login/first", { name, password, new_password: newPassword, code });
      onLogin();
    },
  });
}

/** A new password, and the same again. */
export const newPasswordFields = () => [
  passwordField("new_password", t("new_password"), "new-password", {
    hint: t("new_password_hint", { n: MIN_PASSWORD }),
    check: (text) => (text.length < MIN_PASSWORD ? t("wrong.short", { n: MIN_PASSWORD }) : maxLength(128)(text)),
  }),
  passwordField("repeated", t("repeat_password"), "new-password"),
];

/** Throws a refusal at the field of the repetition if it differs. */
export function checkRepeated(password, repeated) {
  if (password !== repeated) throw new Refused(400, "bad_parameter", "", { repeated: t("wrong.repeated") });
}

/** The QR code and the secret of an authenticator app. */
export const factorPart = (factor) =>
  el("div", { class: "factor" },
    el("p", {}, t("factor_scan")),
    el("img", { src: factor.qr, alt: t("qr_code"), width: "196", height: "196" }),
    el("p", { class: "hint" }, t("factor_text"), " ", el("code", {}, factor.secret.replace(/(.{4})(?=.)/g, "$1 "))));

/** A page with one form and nothing else; errors are shown at their field or above the button. */
function singleFormPage({ title, message = "", fields, partsBefore = [], parts = [], languageSwitch, confirmLabel, onConfirm }) {
  const errorNode = el("p", { class: "error", role: "alert" }, message);
  const confirmButton = el("button", { type: "submit", class: "main" }, confirmLabel);
  const showError = (error) => {
    const others = fields.showErrors(error.fields ?? {});
    fill(errorNode, others || (Object.keys(error.fields ?? {}).length ? "" : error.message));
  };
  const attempt = (work) => async () => {
    if (confirmButton.disabled) return;
    confirmButton.disabled = true;
    fill(errorNode);
    try {
      await work();
    } catch (error) {
      showError(error);
    } finally {
      confirmButton.disabled = false;
    }
  };
  const submit = (event) => {
    event.preventDefault();
    const values = fields.read();
    if (values) attempt(() => onConfirm(values))();
  };
  document.title = `${title} · QLive ${t("console")}`;
  fill(document.body, el("main", { class: "login-page" },
    el("form", { class: "card", novalidate: true, onsubmit: submit },
      el("img", { src: "/ops/mark.svg", alt: "", width: "44", height: "44" }),
      el("h1", {}, title === t("log_in") ? `QLive ${t("console")}` : title),
      partsBefore, fields.nodes, errorNode,
      el("div", { class: "buttons" }, languageSwitch(), confirmButton), parts)));
  fields.firstInput.focus();
  return { attempt, showError };
}
