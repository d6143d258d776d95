// Bills page: differences between WeChat's bills and the books, with what to do, and the bills themselves.

import { api, get, permitted } from "/ops/api.js";
import { openFormDialog } from "/ops/form_dialog.js";
import { card, statusDot } from "/ops/dom.js";
import { button, el, fill } from "/ops/shared/dom.js";
import { showToast } from "/ops/shared/toast.js";
import { formatDateTime, formatInteger, formatYuan } from "/ops/format.js";
import { reasonField } from "/ops/form.js";
import { codeText, t } from "/ops/i18n.js";
import { choiceFilter, list } from "/ops/list.js";

const BILL_KINDS = { waiting: "warn", done: "good", unreadable: "bad" };
const DIFFERENCE_KINDS = { open: "bad", agreed: "good", settled: "muted" };

export function billsPage(container, _poller, _id, query) {
  const states = [["", t("all_states")], ...Object.keys(DIFFERENCE_KINDS).map((state) => [state, codeText("difference_state", state)])];
  const differences = list({
    label: t("differences"), empty: t("no_differences"), query,
    columns: [
      { head: t("bill"), cell: ({ bill, found_at: at }) => [billName(...bill.split(":")), el("small", {}, formatDateTime(at))] },
      { head: t("difference"), cell: ({ kind, category }) => [t(`category.${category}`), el("small", { class: "error" }, codeText("difference", kind))] },
      { head: t("number"), kind: "wide", cell: numberLink },
      { head: t("at_wechat"), kind: "number", cell: ({ fen_there: fen }) => amount(fen) },
      { head: t("booked_here"), kind: "number", cell: ({ fen_here: fen }) => amount(fen) },
      { head: t("to_do"), kind: "wide", cell: toDo },
      { head: t("state"), cell: ({ state }) => statusDot(DIFFERENCE_KINDS[state], codeText("difference_state", state)) },
      { head: t("actions"), kind: "actions", cell: (row) =>
        (row.state === "open" ? permitted("POST SettleDifference", button(t("close_difference"), async () => (await closeDifference(row)) && differences.reload())) : null) },
    ],
    load: (filterValues, after) => get("bills/differences", { ...filterValues, after }),
    filters: [choiceFilter("state", t("state"), states, "open")],
  });
  const bills = list({
    label: t("bills"), empty: t("no_bills"),
    columns: [
      { head: t("bill"), cell: ({ type, period }) => billName(type, period) },
      { head: t("state"), cell: ({ state, problem }) =>
        [statusDot(BILL_KINDS[state], codeText("bill", state)), problem ? el("small", { class: "error" }, problem) : null] },
      { head: t("bill_rows"), kind: "number", cell: ({ rows }) => formatInteger(rows) },
      { head: t("checked"), cell: ({ checked_at: at }) => formatDateTime(at) },
    ],
    load: (_filterValues, after) => get("bills", { after }),
  });
  fill(container,
    card(t("differences"), el("p", { class: "note" }, t("differences_note")), differences.node),
    card(t("bills"), el("p", { class: "note" }, t("bills_note")), bills.node));
}

const billName = (type, period) => [period, el("small", {}, codeText("bill_type", type))];
const amount = (fen) => (fen === null ? "–" : formatYuan(fen));

/** Our number, which leads to the order, the withdrawals or the refund cases of its user. */
function numberLink({ category, number, order, user_id: user, detail }) {
  const pages = { payment: `orders?q=${number}`, refund: `orders?q=${order}`, transfer: `withdrawals?state=&user_id=${user}` };
  const link = pages[category] ? el("a", { href: `#/${pages[category]}` }, el("code", {}, number)) : el("code", {}, number);
  return [link, detail ? el("small", {}, detail) : null];
}

const toDo = ({ kind, category, by, note }) =>
  (by ? [by, el("small", {}, note)] : el("small", {}, t(kind === "missing_here" ? `to_do.${kind}.${category}` : `to_do.${kind}`)));

function closeDifference({ id, number }) {
  return openFormDialog({
    title: t("close_difference_title", { number }),
    messages: [t("close_difference_text")],
    fields: [reasonField()],
    confirmLabel: t("close_difference"),
    async onConfirm(values) {
      const closed = await api("POST", "bills/differences/settle", { id, ...values });
      showToast(t("close_difference_done"));
      return closed;
    },
  });
}
