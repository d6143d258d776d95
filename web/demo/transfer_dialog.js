// WeChat's confirmation page of a transfer, played by the simulator: where a phone calls
// wx.requestMerchantTransfer. Its answer is no proof; the list of the wallet shows what the server knows.

import { openDialog } from "/demo/dom.js";
import { button, el, fill } from "/demo/shared/dom.js";
import { showToast } from "/demo/shared/toast.js";
import { t } from "/demo/i18n.js";

/** Actions of the user and of WeChat: the outcome of the transfer, and how it is notified. */
const TRANSFER_CASES = {
  once: { report: "once" },
  twice: { report: "twice" },
  late: { report: "late" },
  never: { report: "never" },
  forged: { report: "forged" },
  wrong_amount: { report: "wrong_amount" },
  pending: { outcome: "pending" },
  wrong_name: { outcome: "failed", reason: "NAME_NOT_CORRECT" },
  quota: { outcome: "failed", reason: "DAY_RECEIVED_QUOTA_EXCEED" },
  expire: null,
};

/** Opens the dialog; `reload` reads the list once the phone has answered. */
export function confirmTransfer(app, { fen, package_info: transferPackage }, reload) {
  const showHint = () => fill(hint, t(`transfer_text.${select.value}`));
  const select = el("select", { id: "transfer-case", onchange: showHint }, Object.keys(TRANSFER_CASES).map((name) => el("option", { value: name }, t(`transfer.${name}`))));
  const hint = el("p", { class: "hint", "aria-live": "polite" });
  showHint();

  async function confirm() {
    const behaviour = TRANSFER_CASES[select.value];
    const path = behaviour ? "/sim/transfer/confirm" : "/sim/transfer/expire";
    const answer = await app.network.post(path, { package: transferPackage, ...behaviour });
    dialog.close();
    const isShown = answer.bill !== null;
    showToast(t(isShown ? "wallet.no_proof" : "wallet.package_used"), isShown ? "good" : "bad");
    await reload();
  }

  const dialog = openDialog(
    t("wallet.confirm"),
    { kind: "transfer" },
    el("p", { class: "notice" }, t("wallet.no_real_money")),
    el("p", { class: "transfer-sum" }, t("wallet.you_receive"), " ", el("b", {}, `¥${(fen / 100).toFixed(2)}`)),
    el("div", { class: "field" }, el("label", { for: "transfer-case" }, t("wallet.case")), select, hint),
    el("p", { class: "hint" }, t("wallet.proof_text")),
    el("div", { class: "buttons" }, button(t("wallet.receive"), confirm, { kind: "main" })),
  );
}
