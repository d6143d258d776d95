// What is put up for people: gifts, recharge blocks and configs, each in its form.

import { api, get } from "/ops/api.js";
import { ask } from "/ops/ask.js";
import { button, card, el, fill, picture, say, state } from "/ops/dom.js";
import { whole as figure } from "/ops/figures.js";
import { atMost, between } from "/ops/form.js";
import { t } from "/ops/i18n.js";
import { list, search, whole } from "/ops/list.js";

const MOST = 1_000_000_000;
const RATES = ["EXCHANGE_RATE", "WITHDRAW_RATE"];

const isUrl = (text) => (!text || /^https?:\/\/\S+$/.test(text) ? atMost(512)(text) : t("wrong.url"));
const isPrice = (text) => (/^[0-9]{1,7}(\.[0-9]{1,2})?$/.test(text) && Number(text) > 0 ? "" : t("wrong.price"));
const isKey = (text) => (/^[A-Z][A-Z0-9_]{0,59}$/.test(text) ? "" : t("wrong.key"));

/** The image as people will see it, while its address is being typed. */
function preview(node, input) {
  const place = el("div", { class: "preview", "aria-live": "polite" });
  const look = () => fill(place, isUrl(input.value) || !input.value
    ? el("span", { class: "still" }, t("no_image"))
    : picture(input.value.trim(), "?", "gift large"));
  input.addEventListener("input", look);
  look();
  node.append(place);
}

const GIFTS = {
  path: "gifts",
  columns: () => [
    { head: t("image"), cell: (gift) => picture(gift.image, gift.name, "gift") },
    { head: t("name"), cell: (gift) => el("b", {}, gift.name) },
    { head: t("gold"), kind: "number", cell: (gift) => figure(gift.gold) },
    { head: t("effect"), cell: (gift) => gift.effect || "–" },
  ],
  fields: (gift = {}) => [
    { name: "name", label: t("name"), value: gift.name, required: true, check: atMost(60) },
    { name: "gold", label: t("price_gold"), kind: "number", value: gift.gold, required: true, check: between(0, MOST) },
    { name: "image", label: t("image_url"), value: gift.image, hint: t("image_hint"), check: isUrl, see: preview },
    { name: "effect", label: t("effect"), value: gift.effect, hint: t("effect_hint"), check: atMost(512) },
  ],
  name: (gift) => gift.name,
};

const BLOCKS = {
  path: "blocks",
  columns: () => [
    { head: t("gold"), kind: "number", cell: (block) => figure(block.gold) },
    { head: t("price"), kind: "number", cell: (block) => `¥${block.price}` },
    { head: t("per_yuan"), kind: "number", cell: (block) => (block.gold / Number(block.price)).toFixed(2) },
  ],
  fields: (block = {}) => [
    { name: "gold", label: t("gold"), kind: "number", value: block.gold, required: true, check: between(1, MOST) },
    { name: "price", label: t("price_yuan"), value: block.price, required: true, hint: t("price_hint"), check: isPrice },
  ],
  name: (block) => `${figure(block.gold)} / ¥${block.price}`,
};

const CONFIGS = {
  path: "configs",
  columns: () => [
    { head: t("key"), cell: (config) => el("code", { class: "strong" }, config.key) },
    { head: t("value"), kind: "wide", cell: (config) => el("code", {}, JSON.stringify(config.value)) },
    { head: t("state"), cell: (config) => (config.enabled ? state("good", t("enabled")) : state("still", t("disabled"))) },
    { head: t("remark"), kind: "wide", cell: (config) => config.remark || "–" },
  ],
  fields: (config = { enabled: true, value: "" }) => [
    { name: "key", label: t("key"), value: config.key, required: true, hint: t("key_hint"), check: isKey },
    { name: "value", label: t("value_json"), kind: "json", value: config.value, required: true, hint: t("json_hint") },
    { name: "enabled", label: t("enabled"), kind: "tick", value: config.enabled },
    { name: "remark", label: t("remark"), value: config.remark, check: atMost(200) },
  ],
  says: (config) => (RATES.includes(config?.key) ? [t("rate_says")] : []),
  name: (config) => config.key,
};

export const gifts = (place) => shelf(place, GIFTS);
export const blocks = (place) => shelf(place, BLOCKS);
export const configs = (place) => shelf(place, CONFIGS);

function shelf(place, kind) {
  const columns = [
    { head: t("number"), kind: "number", cell: (row) => String(row.id) },
    ...kind.columns(),
    { head: t("actions"), kind: "acts", cell: (row) => [
      button(t("edit"), async () => (await edit(kind, row)) && rows.again()),
      button(t("remove"), async () => (await remove(kind, row)) && rows.again(), "danger"),
    ] },
  ];
  const has = (row, { q }) => !q || JSON.stringify(row).toLowerCase().includes(q.toLowerCase());
  const rows = list({
    label: t(kind.path), columns, load: whole(() => get(kind.path), has),
    filters: [search("q", t("search"))],
  });
  const add = button(t(`add_${kind.path}`), async () => (await edit(kind)) && rows.again(), "main");
  fill(place, card("", el("div", { class: "above" }, add), rows.node));
}

/** A new row, or changes of one: what happens is said, and what is wrong stands at its field. */
function edit(kind, row) {
  return ask({
    title: row ? t("edit_title", { name: kind.name(row) }) : t(`add_${kind.path}`),
    says: [...(kind.says?.(row) ?? []), t(`${kind.path}_says`)],
    fields: kind.fields(row),
    yes: t(row ? "save" : "add"),
    async act(values) {
      const now = await api(row ? "PATCH" : "POST", row ? `${kind.path}/${row.id}` : kind.path, values);
      say(t("saved", { name: kind.name(now) }));
      return now;
    },
  });
}

function remove(kind, row) {
  return ask({
    title: t("remove_title", { name: kind.name(row) }),
    says: [t(`remove_${kind.path}_says`)],
    yes: t("remove"),
    danger: true,
    async act() {
      await api("DELETE", `${kind.path}/${row.id}`);
      say(t("removed", { name: kind.name(row) }));
      return true;
    },
  });
}
