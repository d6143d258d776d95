// Catalogue pages: gifts, recharge blocks and configs, with their forms.

import { api, get, permitted } from "/ops/api.js";
import { openFormDialog } from "/ops/form_dialog.js";
import { showOutcome } from "/ops/approvals.js";
import { card, statusDot } from "/ops/dom.js";
import { button, el, fill, picture } from "/ops/shared/dom.js";
import { showToast } from "/ops/shared/toast.js";
import { formatDateTime, formatInteger } from "/ops/format.js";
import { between, maxLength } from "/ops/form.js";
import { t } from "/ops/i18n.js";
import { list, localPages, searchFilter } from "/ops/list.js";

const MAX_GOLD = 1_000_000_000;
const RATES = ["EXCHANGE_RATE", "WITHDRAW_RATE"];

const isUrl = (text) => (!text || /^https?:\/\/\S+$/.test(text) ? maxLength(512)(text) : t("wrong.url"));
const isPrice = (text) => (/^[0-9]{1,7}(\.[0-9]{1,2})?$/.test(text) && Number(text) > 0 ? "" : t("wrong.price"));
const isKey = (text) => (/^[A-Z][A-Z0-9_]{0,59}$/.test(text) ? "" : t("wrong.key"));

/** Shows the image while its URL is being typed. */
function preview(node, input) {
  const box = el("div", { class: "preview", "aria-live": "polite" });
  const update = () => fill(box, isUrl(input.value) || !input.value
    ? el("span", { class: "muted" }, t("no_image"))
    : picture(input.value.trim(), "?", "gift large"));
  input.addEventListener("input", update);
  update();
  node.append(box);
}

const GIFTS = {
  path: "gifts",
  operations: ["Gifts", "OneGift"],
  columns: () => [
    { head: t("image"), cell: (gift) => picture(gift.image, gift.name, "gift") },
    { head: t("name"), cell: (gift) => el("b", {}, gift.name) },
    { head: t("gold"), kind: "number", cell: (gift) => formatInteger(gift.gold) },
    { head: t("effect"), cell: (gift) => gift.effect || "–" },
  ],
  fields: (gift = {}) => [
    { name: "name", label: t("name"), value: gift.name, required: true, check: maxLength(60) },
    { name: "gold", label: t("price_gold"), kind: "number", value: gift.gold, required: true, check: between(0, MAX_GOLD) },
    { name: "image", label: t("image_url"), value: gift.image, hint: t("image_hint"), check: isUrl, decorate: preview },
    { name: "effect", label: t("effect"), value: gift.effect, hint: t("effect_hint"), check: maxLength(512) },
  ],
  name: (gift) => gift.name,
};

const BLOCKS = {
  path: "blocks",
  operations: ["Blocks", "OneBlock", "NextBlock"],
  columns: () => [
    { head: t("gold"), kind: "number", cell: (block) => formatInteger(block.gold) },
    { head: t("price"), kind: "number", cell: (block) => `¥${block.price}` },
    { head: t("per_yuan"), kind: "number", cell: (block) => (block.gold / Number(block.price)).toFixed(2) },
    { head: t("waiting_change"), kind: "wide", cell: (block) => waiting(block, ({ gold = block.gold, fen = block.price * 100 }) => `${formatInteger(gold)} / ¥${(fen / 100).toFixed(2)}`) },
  ],
  fields: (block = {}) => [
    { name: "gold", label: t("gold"), kind: "number", value: block.gold, required: true, check: between(1, MAX_GOLD) },
    { name: "price", label: t("price_yuan"), value: block.price, required: true, hint: t("price_hint"), check: isPrice },
  ],
  name: (block) => `${formatInteger(block.gold)} / ¥${block.price}`,
};

const CONFIGS = {
  path: "configs",
  operations: ["Configs", "OneConfig", "NextConfig"],
  columns: () => [
    { head: t("key"), cell: (config) => el("code", { class: "strong" }, config.key) },
    { head: t("value"), kind: "wide", cell: (config) => el("code", {}, JSON.stringify(config.value)) },
    { head: t("waiting_change"), kind: "wide", cell: (config) => waiting(config, ({ value }) => JSON.stringify(value)) },
    { head: t("state"), cell: (config) => (config.enabled ? statusDot("good", t("enabled")) : statusDot("muted", t("disabled"))) },
    { head: t("remark"), kind: "wide", cell: (config) => config.remark || "–" },
  ],
  fields: (config = { enabled: true, value: "" }) => [
    { name: "key", label: t("key"), value: config.key, required: true, hint: t("key_hint"), check: isKey },
    { name: "value", label: t("value_json"), kind: "json", value: config.value, required: true, hint: t("json_hint") },
    { name: "enabled", label: t("enabled"), kind: "checkbox", value: config.enabled },
    { name: "remark", label: t("remark"), value: config.remark, check: maxLength(200) },
  ],
  messages: (config) => (RATES.includes(config?.key) ? [t("rate_text")] : undefined),
  name: (config) => config.key,
};

/** The change of a row that waits for its time, if there is one. */
const waiting = ({ next }, text) => (next ? [text(next.fields), el("small", {}, t("from_time", { at: formatDateTime(next.at) }))] : "–");

export const giftsPage = (container) => cataloguePage(container, GIFTS);
export const blocksPage = (container) => cataloguePage(container, BLOCKS);
export const configsPage = (container) => cataloguePage(container, CONFIGS);

function cataloguePage(container, catalogue) {
  const [all, one, next] = catalogue.operations;
  const columns = [
    { head: t("number"), kind: "number", cell: (row) => String(row.id) },
    ...catalogue.columns(),
    { head: t("actions"), kind: "actions", cell: (row) => [
      permitted(`PATCH ${one}`, button(t("edit"), async () => (await edit(catalogue, row)) && rows.reload())),
      row.next && permitted(`DELETE ${next}`, button(t("withdraw"), async () => (await unschedule(catalogue, row)) && rows.reload())),
      permitted(`DELETE ${one}`, button(t("remove"), async () => (await remove(catalogue, row)) && rows.reload(), { kind: "danger" })),
    ] },
  ];
  const matches = (row, { q }) => !q || JSON.stringify(row).toLowerCase().includes(q.toLowerCase());
  const rows = list({
    label: t(catalogue.path), columns, load: localPages(() => get(catalogue.path), matches),
    filters: [searchFilter("q", t("search"))],
  });
  const add = permitted(`POST ${all}`, button(t(`add_${catalogue.path}`), async () => (await edit(catalogue)) && rows.reload(), { kind: "main" }));
  fill(container, card("", add && el("div", { class: "above" }, add), rows.node));
}

/** Dialog that adds or edits a row; resolves with the saved row, or undefined if cancelled. */
function edit(catalogue, row) {
  return openFormDialog({
    title: row ? t("edit_title", { name: catalogue.name(row) }) : t(`add_${catalogue.path}`),
    messages: catalogue.messages?.(row) ?? [t(`${catalogue.path}_text`)],
    fields: catalogue.fields(row),
    confirmLabel: t(row ? "save" : "add"),
    async onConfirm(values) {
      const saved = await api(row ? "PATCH" : "POST", row ? `${catalogue.path}/${row.id}` : catalogue.path, values);
      showOutcome(saved, t("saved", { name: catalogue.name(saved) }));
      return saved;
    },
  });
}

function unschedule(catalogue, row) {
  return openFormDialog({
    title: t("unschedule_title", { name: catalogue.name(row) }),
    messages: [t("unschedule_text", { at: formatDateTime(row.next.at) })],
    confirmLabel: t("withdraw"),
    async onConfirm() {
      await api("DELETE", `${catalogue.path}/${row.id}/next`);
      showToast(t("withdraw_done"));
      return true;
    },
  });
}

function remove(catalogue, row) {
  return openFormDialog({
    title: t("remove_title", { name: catalogue.name(row) }),
    messages: [t(`remove_${catalogue.path}_text`)],
    confirmLabel: t("remove"),
    danger: true,
    async onConfirm() {
      const answer = await api("DELETE", `${catalogue.path}/${row.id}`);
      showOutcome(answer, t("removed", { name: catalogue.name(row) }));
      return true;
    },
  });
}
