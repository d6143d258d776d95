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
const SECOND_NOTICE_MS = 1400; // after the first one, for "twice"

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
  const payment = nextPayment(app, block.gold); // it may be notified before the phone has its answer
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
  const hasArrived = await Promise.race([payment, pause(SHORT_WAIT_MS)]);
  if (app.qlive.userId !== userId) return;
  if (hasArrived) await showArrival(app, goldBefore, block.gold, caseName, waitingStep);
  else {
    setStep(waitingStep, t(`case_none.${caseName}`) + t("step.later"), "bad");
    payment.then((isPaid) => isPaid && showLateArrival(app, block.gold, waitingStep)); // also after the dialog is closed
  }
}

async function showArrival(app, goldBefore, gold, caseName, line) {
  await app.refresh();
  setStep(line, t("step.arrived", { gold, now: app.me.gold }), "good");
  if (caseName !== "twice") return;
  const userId = app.qlive.userId;
  await pause(SECOND_NOTICE_MS);
  if (app.qlive.userId !== userId) return;
  const goldNow = (await app.refresh()).gold;
  setStep(line, t(goldNow === goldBefore + gold ? "step.only_once" : "step.twice", { gold, now: goldNow }), goldNow === goldBefore + gold ? "good" : "bad");
}

async function showLateArrival(app, gold, line) {
  await app.refresh();
  setStep(line, t("step.arrived_late", { gold, now: app.me.gold }), "good");
  if (!line.isConnected) showToast(t("step.arrived_late", { gold, now: app.me.gold }));
}

/** Whether the user's channel reports a payment of this gold within two minutes. */
function nextPayment({ qlive }, gold) {
  const { userId } = qlive;
  return new Promise((resolve) => {
    const stop = qlive.channel().on("payment", (payment) => payment.gold === gold && end(qlive.userId === userId));
    const timer = setTimeout(() => end(false), LONG_WAIT_MS);
    const end = (hasArrived) => {
      stop();
      clearTimeout(timer);
      resolve(hasArrived);
    };
  });
}

function setStep(line, text, kind) {
  line.className = kind;
  line.textContent = text;
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
