// The dialog that asks once, says what will happen, and stays until it has.

import { Refused } from "/ops/api.js";
import { button, el, fill } from "/ops/dom.js";
import { form } from "/ops/form.js";
import { t } from "/ops/i18n.js";

/** Whether it may have been done although nobody said so. */
const perhapsDone = (no) => no.status === 0 || no.status >= 500;

/**
 * ask({ title, says: [sentences], fields, yes, danger, act(values) })
 * Resolves with what `act` answered, with true when it may have been done though no answer came
 * (whoever asked looks again either way), or with undefined when nothing was done. A refusal of
 * `act` is shown at its field or above the buttons, and the dialog stays; until `act` has
 * answered, nothing closes it.
 */
export function ask({ title, says = [], fields = [], yes, danger = false, act }) {
  const asked = form(fields);
  const trouble = el("p", { class: "trouble", role: "alert" });
  const sure = el("button", { type: "submit", class: danger ? "danger" : "main" }, yes);
  return new Promise((resolve) => {
    let answer;
    let underWay = false;
    const leave = button(t("cancel"), () => dialog.close());
    const dialog = el(
      "dialog",
      {
        "aria-labelledby": "asked",
        class: danger ? "danger" : "",
        oncancel: (event) => { if (underWay) event.preventDefault(); },
        onclose: closed,
      },
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

    function closed() {
      if (underWay && dialog.isConnected) { // browsers close at a second Escape whatever one says
        dialog.showModal();
        return;
      }
      dialog.remove();
      resolve(answer);
    }

    function busy(is) {
      underWay = sure.disabled = leave.disabled = is;
      dialog.toggleAttribute("aria-busy", is);
      if (is) dialog.setAttribute("aria-busy", "true");
    }

    async function submit(event) {
      event.preventDefault();
      const values = asked.read();
      if (!values || underWay) return;
      busy(true);
      fill(trouble);
      try {
        answer = (await act(values)) ?? true;
        dialog.close();
      } catch (no) {
        if (!(no instanceof Refused)) throw no;
        if (perhapsDone(no)) answer = true;
        const left = asked.blame(no.fields);
        if (left || !Object.keys(no.fields).length) fill(trouble, left || no.message);
      } finally {
        busy(false);
      }
    }

    document.body.append(dialog);
    dialog.showModal();
    (asked.first ?? leave).focus();
  });
}
