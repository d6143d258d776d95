// Wallet page: matured income, withdrawals, and the confirmation that a phone shows for each transfer.
// What became of a transfer comes from the server's list: that a phone showed its page proves nothing.

import { failureOf } from "/sdk/qlive.js";
import { renderIfChanged } from "/demo/dom.js";
import { button, el, fill } from "/demo/shared/dom.js";
import { showToast } from "/demo/shared/toast.js";
import { languageSwitch, panelSwitch } from "/demo/bar.js";
import { givingCaps } from "/demo/giving.js";
import { openStatement } from "/demo/statement.js";
import { confirmTransfer } from "/demo/transfer_dialog.js";
import { language, t } from "/demo/i18n.js";

const POLL_MS = 2000; // while a withdrawal is open
const IDLE_MS = 10000; // both are for one page of the list: more pages are read less often
const FINAL = ["paid", "returned"];

export function walletPage(app) {
  const node = el("div", { class: "wallet" });
  const head = el("div", {});
  const funds = el("section", { class: "account funds", "aria-live": "polite" });
  const form = withdrawForm(app, () => load());
  const caps = givingCaps(app);
  const items = el("section", { class: "withdrawals", "aria-live": "polite" });
  const older = el("div", { class: "older" });
  node.append(head, funds, form.node, items, older, caps.node);
  let pages = 1; // that are shown
  let shown = null;
  let timer = null;
  let loads = 0;

  async function load() {
    clearTimeout(timer);
    const number = ++loads;
    try {
      const read = await readPages(app, pages);
      if (!node.isConnected || number !== loads) return; // a later load has read more
      shown = { ...read, pages };
      await app.refresh(); // draws; read after the list, so that returned income is counted
    } catch (error) {
      if (error.name !== "Unreachable") throw error;
    } finally {
      if (node.isConnected && number === loads) loadLater();
    }
  }

  function loadLater() {
    pages = shown?.pages ?? 1; // fewer than asked for if the load has failed
    const isOpen = shown?.items.some(({ state }) => !FINAL.includes(state));
    timer = setTimeout(load, (isOpen ? POLL_MS : IDLE_MS) * pages);
  }

  async function showOlder() {
    pages += 1;
    await load();
  }

  function draw() {
    const back = () => button("‹", () => app.showList(), { kind: "round", key: "back", label: t("to_the_list") });
    renderIfChanged(head, [], () => el("header", { class: "bar" }, back(), el("div", { class: "bar-title" }, el("h1", {}, t("wallet"))), languageSwitch(app), panelSwitch()));
    renderIfChanged(funds, [shown?.matured, app.me.income, app.me.rate], () => fundsView(app, shown?.matured));
    form.draw(shown?.matured ?? 0, shown?.items ?? []);
    renderIfChanged(items, shown?.items ?? null, () => list(app, shown?.items ?? null, load));
    renderIfChanged(older, [shown?.has_more], () => shown?.has_more && button(t("wallet.older"), showOlder, { key: "older" }));
  }

  return {
    kind: "light",
    node,
    draw() {
      draw();
      caps.draw();
      if (timer === null && shown === null) {
        load();
        caps.load();
      }
    },
    close: () => clearTimeout(timer),
  };
}

/** The rate of a user is the yuan of one income. */
const fundsView = (app, matured) => [
  el("div", {}, el("p", {}, t("wallet.matured")), el("b", {}, matured === undefined ? "…" : String(matured)),
    matured ? el("small", {}, ` ${t("wallet.about", { yuan: yuan(Math.round(matured * app.me.rate * 100)) })}`) : null),
  el("div", {}, el("p", {}, t("wallet.income")), el("b", {}, String(app.me.income))),
  el("p", { class: "grows" }, t("wallet.matured_text")),
  button(t("statement"), () => openStatement(app, "income"), { kind: "small", key: "statement" }),
];

// ---- the request

/** The form keeps its inputs while the list is polled; `onRequested` reads the list again. */
function withdrawForm(app, onRequested) {
  const node = el("section", { class: "withdraw" });
  let form = null;
  let attempt = null; // the last request, while it is unanswered: repeated with its request_id

  async function submit() {
    const income = Number(form.amount.value);
    if (!/^[0-9]{1,9}$/.test(form.amount.value.trim()) || income < 1) {
      showToast(t("wallet.amount_missing"), "bad");
      form.amount.focus();
      return;
    }
    if (attempt?.income !== income) attempt = { income, request_id: crypto.randomUUID() };
    const name = form.realName.value.trim();
    try {
      const asked = await app.qlive.withdraw(name ? { ...attempt, real_name: name } : attempt);
      form.amount.value = "";
      showToast(t(`wallet.asked.${asked.state}`, { yuan: yuan(asked.fen), income: asked.income }));
      attempt = null;
      await onRequested();
    } catch (error) {
      if (error.name === "Refused" && error.status < 500 && error.status !== 429) attempt = null;
      if (error.code === "real_name_needed") askForName();
      throw error;
    }
  }

  function askForName() {
    form.nameField.hidden = false;
    form.realName.focus();
  }

  /** A name that WeChat has refused can be corrected. */
  function draw(matured, items) {
    renderIfChanged(node, [], () => {
      form = formFields(form, submit);
      return form.nodes;
    });
    if (items.some((item) => failureOf(item) === "name")) form.nameField.hidden = false;
    form.all.disabled = !matured;
    form.all.onclick = () => { form.amount.value = String(matured); };
  }

  return { node, draw };
}

/** `before`: the fields in the other language, whose values are kept. */
function formFields(before, submit) {
  const amount = el("input", { id: "amount", inputmode: "numeric", autocomplete: "off", maxlength: 9, value: before?.amount.value ?? "", "aria-describedby": "amount-says" });
  const realName = el("input", { id: "real-name", autocomplete: "name", maxlength: 50, value: before?.realName.value ?? "", "aria-describedby": "name-says" });
  const all = el("button", { type: "button", class: "small" }, t("wallet.all"));
  const nameField = el("div", { class: "field", hidden: before ? before.nameField.hidden : true },
    el("label", { for: "real-name" }, t("wallet.real_name")), realName,
    el("p", { class: "hint", id: "name-says" }, t("wallet.real_name_text")));
  const go = button(t("wallet.withdraw"), submit, { kind: "main", key: "withdraw" });
  amount.addEventListener("keydown", (event) => event.key === "Enter" && !event.isComposing && go.click());
  const amountField = el("div", { class: "field" },
    el("label", { for: "amount" }, t("wallet.amount")), el("div", { class: "amount" }, amount, all),
    el("p", { class: "hint", id: "amount-says" }, t("wallet.amount_text")));
  return { amount, realName, all, nameField, nodes: [amountField, nameField, el("div", { class: "buttons" }, go)] };
}

// ---- the list

/** The first `count` pages: an old withdrawal may be open as well. */
async function readPages(app, count) {
  const pages = [];
  while (pages.length < count) pages.push(await app.qlive.withdrawals({ page: pages.length + 1 }));
  return { ...pages.at(-1), items: pages.flatMap(({ items }) => items) };
}

function list(app, items, reload) {
  if (items === null) return el("p", { class: "empty" }, t("loading"));
  if (!items.length) return el("p", { class: "empty" }, t("wallet.none"));
  return [el("h2", {}, t("wallet.list")), el("ul", {}, items.map((item) => el("li", {}, card(app, item, reload))))];
}

function card(app, item, reload) {
  const { withdrawal_id: id, state, fen, income, package_info: transferPackage } = item;
  const isFinal = FINAL.includes(state);
  const isCancelling = !isFinal && item.reason !== "";
  const paid = item.paid_fen && item.paid_fen !== fen ? t("wallet.paid_part", { yuan: yuan(item.paid_fen) }) : "";
  return el("article", { class: `withdrawal ${state}` },
    el("div", { class: "withdrawal-head" }, el("b", {}, `¥${yuan(fen)}`), el("span", { class: "tag" }, t(`wallet.state.${state}`))),
    el("small", {}, t("wallet.of_income", { income, at: item.requested_at.replace("T", " ") })),
    el("p", {}, [t(`wallet.text.${isCancelling ? "cancelling" : state}`), paid, reasonText(item)].filter(Boolean).join(language() === "zh" ? "" : " ")),
    isFinal || isCancelling ? null : el("div", { class: "buttons" },
      button(t("wallet.cancel"), () => cancel(app, item, reload), { kind: "small", key: `cancel-${id}`, label: t("wallet.cancel_name", { yuan: yuan(fen) }) }),
      transferPackage && button(t("wallet.confirm"), () => confirmTransfer(app, item, reload), { kind: "small main", key: `confirm-${id}`, label: t("wallet.confirm_name", { yuan: yuan(fen) }) })));
}

async function cancel(app, { withdrawal_id }, reload) {
  const { state } = await app.qlive.cancelWithdrawal({ withdrawal_id });
  showToast(t(state === "returned" ? "wallet.cancelled" : "wallet.cancelling"));
  await reload();
}

/** Why a withdrawal was not paid: the operator's text, or that of the code. */
function reasonText({ state, reason, fail_reason: failReason }) {
  const failure = failureOf({ reason, fail_reason: failReason });
  if (!FINAL.includes(state)) return "";
  if (failure) return t(`wallet.fail.${failure}`, { code: failReason });
  return reason && t("wallet.reason", { reason });
}

export const yuan = (fen) => (fen / 100).toFixed(2);
