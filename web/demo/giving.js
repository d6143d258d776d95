// Rules of giving: the confirmation of a gift, the verification of age, and the user's own caps.

import { renderIfChanged, openDialog } from "/demo/dom.js";
import { button, el } from "/demo/shared/dom.js";
import { showToast } from "/demo/shared/toast.js";
import { t } from "/demo/i18n.js";

/** Asks a user who has given much already; `give` sends the gift, which costs `cost`, with `confirm: true`. */
export async function confirmGift(app, cost, give) {
  const limits = await app.qlive.getGivingLimits();
  const confirm = async () => {
    await give();
    dialog.close();
  };
  const dialog = openDialog(
    t("giving.confirm_title"),
    { kind: "giving" },
    el("p", {}, t("giving.confirm_text", { cost })),
    el("ul", { class: "sums" }, ["day", "month"].map((name) => el("li", {}, sumText(name, limits[name])))),
    el("div", { class: "buttons" }, button(t("giving.not_now"), () => dialog.close()), button(t("giving.confirm"), confirm, { kind: "main" })),
  );
}

export function openAgeCheck(app) {
  const name = el("input", { id: "age-name", autocomplete: "name", maxlength: 50 });
  const number = el("input", { id: "age-number", autocomplete: "off", maxlength: 18 });
  const verify = async () => {
    await app.qlive.verifyAge({ name: name.value.trim(), id_number: number.value.trim() });
    dialog.close();
    showToast(t("giving.verified"));
  };
  const dialog = openDialog(
    t("giving.age_title"),
    { kind: "giving" },
    el("p", {}, t("giving.age_text")),
    el("div", { class: "field" }, el("label", { for: "age-name" }, t("wallet.real_name")), name),
    el("div", { class: "field" }, el("label", { for: "age-number" }, t("giving.id_number")), number),
    el("div", { class: "buttons" }, button(t("giving.verify"), verify, { kind: "main" })),
  );
}

/** The sums and own caps of the user: a section of the wallet, which `load` reads again. */
export function givingCaps(app) {
  const node = el("section", { class: "withdraw giving-caps" });
  let limits = null;

  async function save(fields) {
    const changed = {};
    for (const [name, field] of Object.entries(fields)) {
      const text = field.value.trim() || "0";
      if (!/^[0-9]{1,9}$/.test(text)) {
        showToast(t("giving.cap_invalid"), "bad");
        field.focus();
        return;
      }
      if (Number(text) !== limits[name].own) changed[`${name}_gold`] = Number(text);
    }
    limits = await app.qlive.givingLimits(changed);
    draw();
    showToast(t(Object.values(limits).some((cap) => cap.next_at) ? "giving.saved_later" : "giving.saved"));
  }

  /** Keeps what is being typed while the wallet is polled. */
  const draw = () => renderIfChanged(node, limits, () => limits && view());

  function view() {
    const fields = {};
    const capField = (name) => {
      const { own, next, next_at: at } = limits[name];
      fields[name] = el("input", { id: `cap-${name}`, inputmode: "numeric", autocomplete: "off", maxlength: 9, value: own ? String(own) : "" });
      const later = at && t("giving.later", { gold: next ? t("gold_n", { n: next }) : t("giving.no_cap"), at: at.replace("T", " ").slice(0, 16) });
      return el("div", { class: "field" },
        el("label", { for: `cap-${name}` }, t(`giving.own_${name}`)), fields[name],
        el("p", { class: "hint" }, sumText(name, limits[name])), later && el("p", { class: "hint later" }, later));
    };
    return [el("h2", {}, t("giving.caps")), ["gift", "day", "month"].map(capField),
      el("p", { class: "hint" }, t("giving.caps_text")),
      el("div", { class: "buttons" }, button(t("giving.save"), () => save(fields), { key: "save-caps" }))];
  }

  return {
    node,
    draw,
    async load() {
      limits = await app.qlive.getGivingLimits();
      draw();
    },
  };
}

/** The lower of both caps, and for a day or a month the sum given. */
function sumText(name, { given, own, house }) {
  const caps = [own, house].filter(Boolean);
  return t(`giving.${name}${caps.length ? "_of" : ""}`, { given, cap: Math.min(...caps) });
}
