// Recharge dialog. The simulator pays and notifies the server in the chosen way, valid or faulty.
// The balance shown always comes from the server.

import { openDialog } from "/demo/dom.js";
import { button, el, fill } from "/demo/shared/dom.js";
import { showToast } from "/demo/shared/toast.js";
import { openAgeCheck } from "/demo/giving.js";
import { t } from "/demo/i18n.js";

/** Simulated payments: "cancel" does not pay, the others differ in how the payment is notified. */
const PAYMENT_CASES = ["once", "twice", "late", "never", "forged", "unsigned", "stale", "probe", "wrong_amount", "wrong_payer", "wrong_app", "cancel"];
const SHORT_WAIT_MS = 6000; // before "not arrived" is shown
const LONG_WAIT_MS = 120000; // the server queries the order one minute after it was created
const POLL_MS = 700;
const SLOW_POLL_MS = 3000;

export async function openRecharge(app) {
  const blocks = await app.qlive.getBlocks();
  if (!blocks.length) {
    openDialog(t("recharge"), { kind: "recharge" }, el("p", { class: "empty" }, t("no_blocks")));
    return;
  }
  let chosen = blocks[0];
  const caseSelect = el("select", { id: "case", onchange: () => showCaseHint() }, PAYMENT_CASES.map((name) => el("option", { value: name }, t(`case.${name}`))));
  const caseHint = el("p", { class: "hint", "aria-live": "polite" });
  const steps = el("ol", { class: "steps" });
  const showCaseHint = () => fill(caseHint, t(`case_text.${caseSelect.value}`));
  const blockOption = (block, n) =>
    el(
      "label",
      {},
      el("input", { type: "radio", name: "block", checked: n === 0, onchange: () => ((chosen = block), showPrice()) }),
      el("b", {}, t("gold_n", { n: block.gold })),
      el("small", {}, `¥${block.price}`),
    );
  const pay = () =>
    buy(app, chosen, caseSelect.value, steps).catch((error) => {
      if (error.code !== "age_unverified") throw error;
      openAgeCheck(app);
    });
  const payButton = button("", pay, { kind: "main" });
  const showPrice = () => fill(payButton, t("pay", { price: chosen.price }));
  showCaseHint();
  showPrice();
  openDialog(
    t("recharge"),
    { kind: "recharge" },
    el("p", { class: "notice" }, t("no_real_money")),
    el("fieldset", { class: "choice of-block" }, el("legend", {}, t("which_block")), el("div", {}, blocks.map(blockOption))),
    el("div", { class: "field" }, el("label", { for: "case" }, t("case")), caseSelect, caseHint),
    el("div", { role: "status", "aria-label": t("what_happened") }, steps),
    el("div", { class: "buttons" }, payButton),
  );
}

async function buy(app, block, caseName, steps) {
  fill(steps);
  const addStep = (text, kind = "done") => {
    const line = el("li", { class: kind }, text);
    steps.append(line);
    return line;
  };
  const userId = app.qlive.userId; // the user may log out meanwhile
  const goldBefore = (await app.refresh()).gold;
  const { content } = await app.qlive.pay({ block_id: block.id });
  addStep(t("step.ordered", { gold: block.gold, price: block.price }));
  const behaviour = caseName === "cancel" ? { outcome: "cancel" } : { outcome: "success", report: caseName };
  const paid = await app.network.post("/sim/phone/pay", { content, ...behaviour });
  addStep(t(`step.${paid.outcome}`), paid.outcome === "success" ? "done" : "bad");
  if (paid.outcome !== "success") {
    addStep(t("step.nothing", { gold: goldBefore }), "bad");
    return;
  }
  const waitingStep = addStep(t("step.waiting"), "waiting-step");
  const hasArrived = await waitForGold(app, goldBefore, block.gold, SHORT_WAIT_MS, POLL_MS);
  if (app.qlive.userId !== userId) return;
  if (hasArrived) await showArrival(app, goldBefore, block.gold, caseName, waitingStep);
  else {
    setStep(waitingStep, t(`case_none.${caseName}`) + t("step.later"), "bad");
    pollInBackground(app, goldBefore, block.gold, waitingStep);
  }
}

async function showArrival(app, goldBefore, gold, caseName, line) {
  setStep(line, t("step.arrived", { gold, now: app.me.gold }), "good");
  if (caseName !== "twice") return;
  const userId = app.qlive.userId;
  await pause(POLL_MS * 2); // wait for the second notification
  if (app.qlive.userId !== userId) return;
  const goldNow = (await app.refresh()).gold;
  setStep(line, t(goldNow === goldBefore + gold ? "step.only_once" : "step.twice", { gold, now: goldNow }), goldNow === goldBefore + gold ? "good" : "bad");
}

/** Continues after the dialog is closed. */
async function pollInBackground(app, goldBefore, gold, line) {
  try {
    if (!(await waitForGold(app, goldBefore, gold, LONG_WAIT_MS, SLOW_POLL_MS))) return;
  } catch (error) {
    return; // logged out or offline: the server still credits the gold
  }
  setStep(line, t("step.arrived_late", { gold, now: app.me.gold }), "good");
  if (!line.isConnected) showToast(t("step.arrived_late", { gold, now: app.me.gold }));
}

/**
 * Whether the gold arrives before the timeout, while the same user is logged in.
 *
 * Gold spent meanwhile lowers the baseline.
 */
async function waitForGold(app, goldBefore, gold, timeoutMs, intervalMs) {
  const deadline = Date.now() + timeoutMs;
  const userId = app.qlive.userId;
  for (let baseline = goldBefore; Date.now() < deadline && app.qlive.userId === userId; ) {
    const goldNow = (await app.refresh()).gold;
    if (goldNow >= baseline + gold) return true;
    baseline = Math.min(baseline, goldNow);
    await pause(intervalMs);
  }
  return false;
}

function setStep(line, text, kind) {
  line.className = kind;
  line.textContent = text;
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
