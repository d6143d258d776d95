// Gold for money that nobody has to have: the simulator pays, and reports it as well or as badly as
// one asks. Whether gold has arrived is asked of the server, never assumed.

import { button, el, fill, say, sheet } from "/demo/dom.js";
import { t } from "/demo/words.js";

/** What the simulated payment does; the first part is how it ends, the rest how it is reported. */
const CASES = ["once", "twice", "late", "never", "forged", "unsigned", "stale", "probe", "wrong_amount", "wrong_payer", "wrong_app", "cancel"];
const SOON_MS = 6000; // so long one looks before saying that nothing has come
const LONG_MS = 120000; // the server asks by itself a minute after the order
const LOOK_MS = 700;
const LATER_MS = 3000;

export async function openRecharge(app) {
  const blocks = await app.qlive.getBlocks();
  if (!blocks.length) {
    sheet(t("recharge"), { kind: "recharge" }, el("p", { class: "empty" }, t("no_blocks")));
    return;
  }
  let chosen = blocks[0];
  const case_ = el("select", { id: "case", onchange: () => explain() }, CASES.map((name) => el("option", { value: name }, t(`case.${name}`))));
  const about = el("p", { class: "hint", "aria-live": "polite" });
  const steps = el("ol", { class: "steps" });
  const explain = () => fill(about, t(`case_says.${case_.value}`));
  const block = (one, n) =>
    el(
      "label",
      {},
      el("input", { type: "radio", name: "block", checked: n === 0, onchange: () => ((chosen = one), price()) }),
      el("b", {}, t("gold_n", { n: one.gold })),
      el("small", {}, `¥${one.price}`),
    );
  const pay = button("", () => buy(app, chosen, case_.value, steps), { kind: "main" });
  const price = () => fill(pay, t("pay", { price: chosen.price }));
  explain();
  price();
  sheet(
    t("recharge"),
    { kind: "recharge" },
    el("p", { class: "played" }, t("no_real_money")),
    el("fieldset", { class: "choice of-block" }, el("legend", {}, t("which_block")), el("div", {}, blocks.map(block))),
    el("div", { class: "field" }, el("label", { for: "case" }, t("case")), case_, about),
    el("div", { role: "status", "aria-label": t("what_happened") }, steps),
    el("div", { class: "buttons" }, pay),
  );
}

async function buy(app, block, name, steps) {
  fill(steps);
  const step = (words, kind = "done") => {
    const line = el("li", { class: kind }, words);
    steps.append(line);
    return line;
  };
  const who = app.qlive.userId; // who may have gone before the gold comes
  const before = (await app.refresh()).gold;
  const { content } = await app.qlive.pay({ block_id: block.id });
  step(t("step.ordered", { gold: block.gold, price: block.price }));
  const wish = name === "cancel" ? { outcome: "cancel" } : { outcome: "success", report: name };
  const paid = await app.network.post("/sim/phone/pay", { content, ...wish });
  step(t(`step.${paid.outcome}`), paid.outcome === "success" ? "done" : "bad");
  if (paid.outcome !== "success") {
    step(t("step.nothing", { gold: before }), "bad");
    return;
  }
  const waiting = step(t("step.waiting"), "waits");
  const looked = await arrival(app, before, block.gold, SOON_MS, LOOK_MS);
  if (app.qlive.userId !== who) return;
  if (looked) await arrived(app, before, block.gold, name, waiting);
  else {
    settle(waiting, t(`case_none.${name}`) + t("step.later"), "bad");
    keepLooking(app, before, block.gold, waiting);
  }
}

async function arrived(app, before, gold, name, line) {
  settle(line, t("step.arrived", { gold, now: app.me.gold }), "good");
  if (name !== "twice") return;
  const who = app.qlive.userId;
  await pause(LOOK_MS * 2); // the second report is on its way
  if (app.qlive.userId !== who) return;
  const now = (await app.refresh()).gold;
  settle(line, t(now === before + gold ? "step.only_once" : "step.twice", { gold, now }), now === before + gold ? "good" : "bad");
}

/** Goes on in the background, also when the sheet is closed. */
async function keepLooking(app, before, gold, line) {
  try {
    if (!(await arrival(app, before, gold, LONG_MS, LATER_MS))) return;
  } catch (error) {
    return; // logged out, or the network is cut: the gold arrives all the same
  }
  settle(line, t("step.arrived_late", { gold, now: app.me.gold }), "good");
  if (!line.isConnected) say(t("step.arrived_late", { gold, now: app.me.gold }));
}

/**
 * Whether so much gold comes in before long, and the person stays for so long; what is spent
 * meanwhile lowers where one counts from.
 */
async function arrival(app, before, gold, patience, every) {
  const until = Date.now() + patience;
  const who = app.qlive.userId;
  for (let low = before; Date.now() < until && app.qlive.userId === who; ) {
    const now = (await app.refresh()).gold;
    if (now >= low + gold) return true;
    low = Math.min(low, now);
    await pause(every);
  }
  return false;
}

function settle(line, words, kind) {
  line.className = kind;
  line.textContent = words;
}

const pause = (ms) => new Promise((go) => setTimeout(go, ms));
