// A form from a list of fields: labels, hints, and words at the field that is wrong.
//
// A field: { name, label, kind: text|number|area|choice|tick|json, value, hint, required,
//            choices: [[value, words]], check(value) → words or "", see(node, input) }

import { el, fill } from "/ops/dom.js";
import { t, word } from "/ops/i18n.js";

let made = 0;

const reasonOf = (said) => word("why", said); // the server's, in our language when we know it

export function form(fields) {
  const rows = fields.map(row);
  return {
    nodes: rows.map((one) => one.node),
    first: rows[0]?.input,
    /** The values by name, or null with words at every field that is wrong. */
    read() {
      const wrong = rows.filter((one) => !one.judge());
      wrong[0]?.input.focus();
      if (wrong.length) return null;
      return Object.fromEntries(rows.map((one) => [one.name, one.value()]));
    },
    /** Words at fields, by name; what belongs to no field is given back. */
    blame(reasons) {
      const left = { ...reasons };
      for (const one of rows) {
        if (!(one.name in left)) continue;
        one.complain(reasonOf(left[one.name]));
        one.input.focus();
        delete left[one.name];
      }
      return Object.values(left).join("; ");
    },
  };
}

function row(field) {
  const id = `field-${++made}`;
  const input = control(field, id);
  const trouble = el("p", { class: "trouble", id: `${id}-trouble`, "aria-live": "polite" });
  const hint = field.hint ? el("p", { class: "hint", id: `${id}-hint` }, field.hint) : null;
  input.setAttribute("aria-describedby", hint ? `${id}-hint ${id}-trouble` : `${id}-trouble`);
  const label = el("label", { for: id }, field.label, field.required ? el("b", {}, " *") : null);
  const parts = field.kind === "tick" ? [el("div", { class: "tick" }, input, label)] : [label, input];
  const node = el("div", { class: "field" }, parts, hint, trouble);
  field.see?.(node, input);
  const value = () => valueOf(field, input);
  const complain = (words) => {
    fill(trouble, words);
    input.toggleAttribute("aria-invalid", Boolean(words));
    if (words) input.setAttribute("aria-invalid", "true");
  };
  const judge = () => {
    const words = judged(field, input);
    complain(words);
    return !words;
  };
  input.addEventListener("input", () => complain(""));
  return { name: field.name, node, input, value, complain, judge };
}

function control(field, id) {
  const said = { id, name: field.name, required: field.required, autocomplete: "off" };
  if (field.kind === "choice") {
    const options = field.choices.map(([value, words]) => el("option", { value }, words));
    const select = el("select", said, options);
    if (field.value !== undefined) select.value = field.value;
    return select;
  }
  if (field.kind === "tick") {
    const tick = el("input", { ...said, required: undefined, type: "checkbox" });
    tick.checked = Boolean(field.value);
    return tick;
  }
  if (field.kind === "area" || field.kind === "json") {
    const text = field.kind === "json" ? JSON.stringify(field.value, null, 2) : field.value;
    return el("textarea", { ...said, rows: field.kind === "json" ? 7 : 2, value: text ?? "" });
  }
  const mode = field.kind === "number" ? "numeric" : undefined;
  return el("input", { ...said, type: field.type ?? "text", inputmode: mode, value: field.value ?? "" });
}

function valueOf(field, input) {
  if (field.kind === "tick") return input.checked;
  if (field.kind === "json") return JSON.parse(input.value);
  const text = input.value.trim();
  return field.kind === "number" ? Number(text) : text;
}

function judged(field, input) {
  const text = input.value.trim();
  if (field.kind === "json") {
    try {
      JSON.parse(input.value);
    } catch {
      return t("wrong.json");
    }
  }
  if (field.kind !== "tick" && field.required && !text) return t("wrong.missing");
  if (field.kind === "number" && !/^[0-9]{1,10}$/.test(text)) return t("wrong.whole");
  return field.check?.(valueOf(field, input)) || "";
}

// ---- what more than one form asks for

export const between = (low, high) => (n) =>
  n < low || n > high ? t("wrong.between", { low, high: high.toLocaleString("en-US") }) : "";
export const atMost = (length) => (text) => (text.length > length ? t("wrong.long", { length }) : "");
export const reason = (required = true, name = "reason") =>
  ({ name, label: t("reason"), kind: "area", required, hint: t("reason_hint"), check: atMost(500) });
