// One item of the moderation queue: value, owner, evidence, history, and the dialogs that decide it.

import { api, get, may } from "/ops/api.js";
import { ban } from "/ops/ban.js";
import { card, definitionList, statusDot, userLink } from "/ops/dom.js";
import { button, el, fill, picture } from "/ops/shared/dom.js";
import { showToast } from "/ops/shared/toast.js";
import { sentence } from "/ops/event_log.js";
import { formatDateTime, formatNumber } from "/ops/format.js";
import { maxLength } from "/ops/form.js";
import { openFormDialog } from "/ops/form_dialog.js";
import { codeText, t } from "/ops/i18n.js";
import { removeUser } from "/ops/room_bans.js";

export const STATE_KINDS = { review: "warn", unchecked: "muted", checking: "muted", approved: "good", refused: "bad", superseded: "muted" };
const HISTORY = 20; // items of the same user
const OPEN_STATES = ["review", "unchecked", "checking"];
const BREACHES = ["sexual", "abuse", "advert", "fraud", "politics", "crime", "minor", "other"];
const BREACH_OF_LABEL = { // labels of WeChat's content security, and of CSS
  10001: "advert", 20001: "politics", 20002: "sexual", 20003: "abuse", 20006: "crime", 20008: "fraud", 20012: "sexual", 21000: "other",
  Porn: "sexual", Sexy: "sexual", Moan: "sexual", Abuse: "abuse", Ad: "advert", Ads: "advert", Polity: "politics", Illegal: "crime", Terror: "crime", Terrorism: "crime",
};
/** Text keys of the decisions: how an item is approved, and how it is refused. */
const VERBS = { report: ["dismiss", "uphold"], stream: ["allow_stream", "stop_stream"] };

export const isPicture = ({ kind }) => kind === "face" || kind === "cover";
const isContent = ({ kind }) => kind !== "report" && kind !== "stream";
const breachOf = ({ label }) => BREACH_OF_LABEL[label] ?? label;
const breachText = (item) => (item.label ? codeText("breach", breachOf(item)) : "");
const nameOf = (item) => item.user?.nickname || item.user_id;

export const itemState = ({ state }) => statusDot(STATE_KINDS[state] ?? "muted", codeText("item_state", state));

/** The line of an item in a list, and the note below. */
export function summary(item) {
  const text = isContent(item) && !isPicture(item) ? item.value : nameOf(item);
  return { text, note: [codeText("item", item.kind), breachText(item)].filter(Boolean).join(" · ") };
}

/** The reason of a decision: a code, and the operator's note after it. */
function decisionText({ decision }) {
  const [code, ...note] = decision.split(": ");
  return [codeText("breach", code), ...note].join(": ");
}

/** A card with buttons; `onDecided(id)` is called after a decision, also by another operator. */
export function itemCard(item, onDecided) {
  const evidence = el("div", { class: "evidence" });
  const history = el("div");
  const room = item.live_id ? el("a", { href: `#/rooms/${item.live_id}` }, String(item.live_id)) : null;
  readInto(history, async () => historyList((await get("moderation", { user_id: item.user_id })).items.filter(({ id }) => id !== item.id).slice(0, HISTORY)));
  const mayRead = may("GET Evidence");
  if (!isContent(item) && !mayRead) fill(evidence, el("p", { class: "note" }, t("evidence_not_permitted")));
  if (!isContent(item) && mayRead) readInto(evidence, async () => evidenceParts(item, (await get(`moderation/${item.id}/evidence`)).evidence));
  return card("",
    el("div", { class: "card-head" },
      el("h2", {}, codeText("item", item.kind), " ", itemState(item)),
      OPEN_STATES.includes(item.state) || mayUndo(item) ? el("div", { class: "actions" }, actions(item, onDecided)) : null),
    isContent(item) ? values(item) : null,
    definitionList([
      [t(item.kind === "report" ? "reported_user" : "person"), item.user ? userLink(item.user) : item.user_id],
      room ? [t("room"), room] : null,
      item.label ? [t(item.kind === "report" ? "reason" : "item_label"), breachText(item)] : null,
      [t("at"), formatDateTime(item.created_at)],
      item.decided_by ? [t("decision"), `${codeText("decider", item.decided_by)} · ${formatDateTime(item.decided_at)}${item.decision ? ` · ${decisionText(item)}` : ""}`] : null,
    ].filter(Boolean)),
    item.kind === "stream" && OPEN_STATES.includes(item.state) ? el("p", { class: "note" }, t(item.shown ? "stream_goes_on" : "stream_stopped")) : null,
    evidence,
    el("div", { class: "card-head" }, el("h3", {}, t("items_of_user")), el("a", { href: `#/moderation?state=&user_id=${item.user_id}` }, t("all"))),
    history);
}

function readInto(node, read) {
  read().then((parts) => fill(node, parts))
    .catch((error) => fill(node, el("p", { class: "error", role: "alert" }, error.message)));
}

/** The proposed value beside the one before. */
function values(item) {
  const isOpen = OPEN_STATES.includes(item.state);
  const value = (address, caption) => el("figure", {},
    el("figcaption", {}, caption),
    isPicture(item) ? (address ? picture(address, nameOf(item), `shot ${item.kind}`) : el("p", { class: "shot muted" }, t("no_image"))) : el("p", { class: "quote" }, address || t("nameless")));
  return [
    el("div", { class: "values" }, value(item.value, t("proposed")), value(item.before, t("shown_before"))),
    isOpen ? el("p", { class: "note" }, t(item.shown ? "value_shown" : "value_hidden")) : null,
  ];
}

function evidenceParts(item, evidence) {
  const { reporter, text, lines = [], events = [], medium, score, url } = evidence;
  const writer = (id) => (id === item.user_id ? nameOf(item) : id === reporter ? t("reporter") : id);
  return [
    url ? el("a", { href: url, target: "_blank", rel: "noreferrer" },
      medium === "picture" ? picture(url, nameOf(item), "shot stream") : null, t(`open_${medium}`)) : null,
    medium ? definitionList([
      [t("score"), formatNumber(score)],
      [t("suggestion"), codeText("suggestion", evidence.suggestion)],
      [t(`text_of_${medium}`), text || "–"],
    ]) : null,
    reporter ? definitionList([
      [t("reporter"), el("a", { href: `#/people/${reporter}` }, reporter)],
      [t("report_text"), text || "–"],
      evidence.nickname ? [t("name_then"), pictured(evidence.face_url, evidence.nickname, "face")] : null,
      evidence.room_name ? [t("room_then"), pictured(evidence.room_image, evidence.room_name, "gift")] : null,
    ].filter(Boolean)) : null,
    log("chat_lines", lines.map((line) => [line.at, [el("b", { class: line.user_id === item.user_id ? "negative" : "" }, writer(line.user_id)), ` ${line.text}`]])),
    log("item_events", events.map((event) => [event.at, sentence(event)])),
  ];
}

const pictured = (address, name, kind) => el("span", {}, picture(address, name, kind), ` ${name}`);

const log = (title, entries) => (entries.length ? [
  el("h3", {}, t(title)),
  el("ol", { class: "log", tabindex: "0", "aria-label": t(title) }, entries.map(([at, text]) => el("li", {}, el("time", {}, formatDateTime(at)), el("span", {}, text)))),
] : null);

function historyList(items) {
  if (!items.length) return el("p", { class: "empty" }, t("empty"));
  return el("ol", { class: "log", tabindex: "0", "aria-label": t("items_of_user") }, items.map((item) => el("li", {},
    el("time", {}, formatDateTime(item.created_at)),
    isPicture(item) ? picture(item.value, nameOf(item), "gift") : null,
    el("span", { class: "grows" }, isContent(item) && !isPicture(item) ? item.value : breachText(item), el("small", {}, codeText("item", item.kind))),
    el("span", {}, itemState(item), item.decision ? el("small", {}, decisionText(item)) : null))));
}

// ---- decisions

/** A refused value, which its user may then propose again. */
const mayUndo = (item) => item.state === "refused" && isContent(item) && may("POST DecideItem");
const keyHint = (key) => el("kbd", { "aria-hidden": "true" }, key);
const verbs = ({ kind }) => VERBS[kind] ?? ["pass", "refuse"];

function actions(item, onDecided) {
  /** A ban or removal, by its own dialog, upholds the report. */
  const withAction = (action, reason) => async () => {
    if (await action()) await decide(item, { approved: false, reason }, onDecided);
  };
  const user = { user_id: item.user_id, nickname: item.user?.nickname };
  const isReport = item.kind === "report";
  if (item.state === "refused") return button(t("undo_refusal"), () => decide(item, { approved: true }, onDecided, "undo_refusal_done"));
  return [
    may("POST DecideItem") ? button([t(verbs(item)[0]), keyHint("A")], () => approve(item, onDecided), { kind: "main" }) : null,
    may("POST DecideItem") ? [
      isReport && may("PATCH OneUser") ? button(t("ban"), withAction(() => ban(user), "banned"), { kind: "danger" }) : null,
      isReport && item.live_id && may("POST RemoveUser") ? button(t("put_out"), withAction(() => removeUser(item.live_id, user), "removed"), { kind: "danger" }) : null,
      button([t(verbs(item)[1]), keyHint("R")], () => refuse(item, onDecided), { kind: isReport ? "" : "danger" }),
    ] : null,
  ];
}

let isDeciding = false;

async function decide(item, decision, onDecided, message = decision.approved ? "approve_item_done" : "refuse_item_done") {
  if (isDeciding) return;
  isDeciding = true;
  try {
    await api("POST", `moderation/${item.id}/decide`, { ...decision, state: item.state });
    showToast(t(message, { name: summary(item).text }));
  } catch (error) {
    showToast(error.message, "bad");
  } finally {
    isDeciding = false;
  }
  await onDecided(item.id);
}

export async function approve(item, onDecided) {
  if (may("POST DecideItem") && OPEN_STATES.includes(item.state)) await decide(item, { approved: true }, onDecided);
}

/** Asks for the reason; Enter at it refuses. */
export async function refuse(item, onDecided) {
  if (!may("POST DecideItem") || !OPEN_STATES.includes(item.state)) return;
  const submitOnEnter = (_node, input) => input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    input.form.requestSubmit();
  });
  const breach = breachOf(item);
  const done = await openFormDialog({
    title: t(`${verbs(item)[1]}_title`, { name: summary(item).text }),
    messages: [t(`${verbs(item)[1]}_text`)],
    fields: [
      { name: "breach", label: t("reason"), kind: "choice", choices: BREACHES.map((code) => [code, codeText("breach", code)]), value: BREACHES.includes(breach) ? breach : "other", decorate: submitOnEnter },
      { name: "note", label: t("note"), hint: t("reason_hint"), check: maxLength(400) },
    ],
    confirmLabel: t(verbs(item)[1]),
    danger: true,
    async onConfirm({ breach: code, note }) {
      await api("POST", `moderation/${item.id}/decide`, { approved: false, state: item.state, reason: note ? `${code}: ${note}` : code });
      showToast(t("refuse_item_done", { name: summary(item).text }));
      return true;
    },
  });
  if (done) await onDecided(item.id);
}
