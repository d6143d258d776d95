// Form dialog that confirms an action and stays open until the action has finished.

import { Refused } from "/ops/api.js";
import { button, el, fill } from "/ops/shared/dom.js";
import { removeDialog } from "/ops/shared/toast.js";
import { form } from "/ops/form.js";
import { t } from "/ops/i18n.js";

/** No response or a server error: the action may have been executed. */
const mayHaveBeenDone = (error) => error.status === 0 || error.status >= 500;

/**
 * openFormDialog({ title, messages, fields, confirmLabel, danger, onConfirm(values) })
 *
 * A message is a text or a node. Without `onConfirm` there is no cancel button. Resolves with the
 * result of `onConfirm`; with true if there was no response but the action may have been executed,
 * so that callers reload in both cases; with undefined if nothing was done. A refusal is shown at
 * its field or above the buttons, and the dialog stays open, also while `onConfirm` is running.
 */
export function openFormDialog({ title, messages = [], fields = [], confirmLabel, danger = false, onConfirm }) {
  const formFields = form(fields);
  const errorNode = el("p", { class: "error", role: "alert" });
  const confirmButton = el("button", { type: "submit", class: danger ? "danger" : "main" }, confirmLabel);
  return new Promise((resolve) => {
    let answer;
    let isBusy = false;
    const cancelButton = button(t("cancel"), () => dialog.close());
    const dialog = el(
      "dialog",
      {
        "aria-labelledby": "asked",
        class: danger ? "danger" : "",
        oncancel: (event) => { if (isBusy) event.preventDefault(); },
        onclose: onClosed,
      },
      el(
        "form",
        { method: "dialog", novalidate: true, onsubmit: submit },
        el("h2", { id: "asked" }, title),
        messages.map((message) => (message instanceof Node ? message : el("p", { class: "message" }, message))),
        formFields.nodes,
        errorNode,
        el("div", { class: "buttons" }, onConfirm && cancelButton, confirmButton),
      ),
    );

    function onClosed() {
      if (isBusy && dialog.isConnected) { // browsers close a dialog at the second Escape, despite preventDefault
        dialog.showModal();
        return;
      }
      removeDialog(dialog);
      resolve(answer);
    }

    function setBusy(value) {
      isBusy = confirmButton.disabled = cancelButton.disabled = value;
      dialog.toggleAttribute("aria-busy", value);
      if (value) dialog.setAttribute("aria-busy", "true");
    }

    async function submit(event) {
      event.preventDefault();
      const values = formFields.read();
      if (!values || isBusy) return;
      setBusy(true);
      fill(errorNode);
      try {
        answer = (await onConfirm?.(values)) ?? true;
        dialog.close();
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        if (mayHaveBeenDone(error)) answer = true;
        const otherErrors = formFields.showErrors(error.fields);
        if (otherErrors || !Object.keys(error.fields).length) fill(errorNode, otherErrors || error.message);
      } finally {
        setBusy(false);
      }
    }

    document.body.append(dialog);
    dialog.showModal();
    (formFields.firstInput ?? (onConfirm ? cancelButton : confirmButton)).focus();
  });
}
