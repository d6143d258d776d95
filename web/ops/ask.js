// The dialog that asks once, says what will happen, and stays until it has.

import { Refused } from "/ops/api.js";
import { button, el, fill } from "/ops/dom.js";
import { form } from "/ops/form.js";
import { t } from "/ops/i18n.js";

/**
 * ask({ title, says: [sentences], fields, yes, danger, act(values) })
 * Resolves with what `act` answered, or undefined when nothing was done. A refusal of `act` is
 * shown at its field or above the buttons, and the dialog stays.
 */
export function ask({ title, says = [], fields = [], yes, danger = false, act }) {
  const asked = form(fields);
  const trouble = el("p", { class: "trouble", role: "alert" });
  const sure = el("button", { type: "submit", class: danger ? "danger" : "main" }, yes);
  return new Promise((resolve) => {
    let answer;
    const leave = button(t("cancel"), () => dialog.close());
    const dialog = el(
      "dialog",
      { "aria-labelledby": "asked", class: danger ? "danger" : "", onclose: () => { dialog.remove(); resolve(answer); } },
      el(
        "form",
        { method: "dialog", novalidate: true, onsubmit: submit },
        el("h2", { id: "asked" }, title),
        says.map((sentence) => el("p", { class: "says" }, sentence)),
        asked.nodes,
        trouble,
        el("div", { class: "buttons" }, leave, sure),
      ),
    );

    async function submit(event) {
      event.preventDefault();
      const values = asked.read();
      if (!values || sure.disabled) return;
      sure.disabled = true;
      fill(trouble);
      try {
        answer = (await act(values)) ?? true;
        dialog.close();
      } catch (no) {
        if (!(no instanceof Refused)) throw no;
        const left = asked.blame(no.fields);
        if (left || !Object.keys(no.fields).length) fill(trouble, left || no.message);
      } finally {
        sure.disabled = false;
      }
    }

    document.body.append(dialog);
    dialog.showModal();
    (asked.first ?? leave).focus();
  });
}
