// Form built from a list of fields, with labels, hints and an error message per field.
//
// A field: { name, label, kind: text|number|area|choice|checkbox|json, value, hint, required,
//            type, mode, autocomplete: of an input, choices: [[value, label]], check(value) → error or "", decorate(node, input) }

import { el, fill } from "/ops/shared/dom.js";
import { codeText, t } from "/ops/i18n.js";

let fieldCount = 0;

const translateReason = (reason) => codeText("why", reason); // translated if known

export function form(fields) {
  const rows = fields.map(fieldRow);
  return {
    nodes: rows.map((row) => row.node),
    firstInput: rows[0]?.input,
    /** The values by name, or null after showing an error at every invalid field. */
    read() {
      const invalid = rows.filter((row) => !row.validate());
      invalid[0]?.input.focus();
      if (invalid.length) return null;
      return Object.fromEntries(rows.map((row) => [row.name, row.value()]));
    },
    /** Shows errors by field name; returns those that belong to no field as text. */
    showErrors(errors) {
      const others = { ...errors };
      for (const row of rows) {
        if (!(row.name in others)) continue;
        row.showError(translateReason(others[row.name]));
        row.input.focus();
        delete others[row.name];
      }
      return Object.values(others).join("; ");
    },
  };
}

function fieldRow(field) {
  const id = `field-${++fieldCount}`;
  const input = control(field, id);
  const errorNode = el("p", { class: "field-error", id: `${id}-error`, "aria-live": "polite" });
  const hint = field.hint ? el("p", { class: "hint", id: `${id}-hint` }, field.hint) : null;
  input.setAttribute("aria-describedby", hint ? `${id}-hint ${id}-error` : `${id}-error`);
  const label = el("label", { for: id }, field.label, field.required ? el("b", {}, " *") : null);
  const parts = field.kind === "checkbox" ? [el("div", { class: "checkbox" }, input, label)] : [label, input];
  const node = el("div", { class: "field" }, parts, hint, errorNode);
  field.decorate?.(node, input);
  const value = () => valueOf(field, input);
  const showError = (message) => {
    fill(errorNode, message);
    input.toggleAttribute("aria-invalid", Boolean(message));
    if (message) input.setAttribute("aria-invalid", "true");
  };
  const validate = () => {
    const message = validationError(field, input);
    showError(message);
    return !message;
  };
  input.addEventListener("input", () => showError(""));
  return { name: field.name, node, input, value, showError, validate };
}

function control(field, id) {
  const attributes = { id, name: field.name, required: field.required, autocomplete: field.autocomplete ?? "off" };
  if (field.kind === "choice") {
    const options = field.choices.map(([value, label]) => el("option", { value }, label));
    const select = el("select", attributes, options);
    if (field.value !== undefined) select.value = field.value;
    return select;
  }
  if (field.kind === "checkbox") {
    const checkbox = el("input", { ...attributes, required: undefined, type: "checkbox" });
    checkbox.checked = Boolean(field.value);
    return checkbox;
  }
  if (field.kind === "area" || field.kind === "json") {
    const text = field.kind === "json" ? JSON.stringify(field.value, null, 2) : field.value;
    return el("textarea", { ...attributes, rows: field.kind === "json" ? 7 : 2, value: text ?? "" });
  }
  const mode = field.kind === "number" ? "numeric" : field.mode;
  return el("input", { ...attributes, type: field.type ?? "text", inputmode: mode, value: field.value ?? "" });
}

function valueOf(field, input) {
  if (field.kind === "checkbox") return input.checked;
  if (field.kind === "json") return JSON.parse(input.value);
  if (field.type === "password") return input.value;
  const text = input.value.trim();
  return field.kind === "number" ? Number(text) : text;
}

function validationError(field, input) {
  const text = input.value.trim();
  if (field.kind === "json") {
    try {
      JSON.parse(input.value);
    } catch {
      return t("wrong.json");
    }
  }
  if (field.kind !== "checkbox" && field.required && !text) return t("wrong.missing");
  if (field.kind === "number" && !/^[0-9]{1,10}$/.test(text)) return t("wrong.whole");
  return field.check?.(valueOf(field, input)) || "";
}

// ---- shared checks and fields

export const between = (low, high) => (n) =>
  n < low || n > high ? t("wrong.between", { low, high: high.toLocaleString("en-US") }) : "";
export const maxLength = (length) => (text) => (text.length > length ? t("wrong.long", { length }) : "");
export const reasonField = (required = true, name = "reason") =>
  ({ name, label: t("reason"), kind: "area", required, hint: t("reason_hint"), check: maxLength(500) });
