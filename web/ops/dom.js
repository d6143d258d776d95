// Parts that the console's pages share, beside those of shared/dom.js.

import { el, picture } from "/ops/shared/dom.js";
import { t } from "/ops/i18n.js";

/** Coloured dot with a label; kind is good, warn, bad or muted. */
export const statusDot = (kind, text) =>
  el("span", { class: `state ${kind}` }, el("i", { "aria-hidden": "true" }), text);

/** Link to the page of a user. */
export const userLink = (user) =>
  el(
    "a",
    { class: "person", href: `#/people/${user.user_id ?? user.id}` },
    picture(user.face_url, user.nickname),
    el("span", {}, user.nickname || t("nameless"), el("small", {}, user.user_id ?? user.id)),
  );

export const card = (title, ...children) =>
  el("section", { class: "card" }, title ? el("h2", {}, title) : null, ...children);

/** A figure with its label and a note below. */
export const tile = (label, value, note, kind = "") =>
  el("div", { class: `tile ${kind}` }, el("span", {}, label), el("b", {}, value), el("small", {}, note ?? ""));

/** Table that scrolls sideways if it is too wide; a heading is a text or [text, class]. */
export const scrollTable = (label, headings, rows) =>
  el("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": label },
    el("table", {}, el("caption", { class: "visually-hidden" }, label),
      el("thead", {}, el("tr", {}, headings.map((heading) => [heading].flat()).map(([text, kind]) => el("th", { scope: "col", class: kind }, text)))),
      el("tbody", {}, rows)));

/** Definition list of [term, value] pairs. */
export const definitionList = (pairs) =>
  el("dl", { class: "definitions" }, pairs.map(([term, value]) => [el("dt", {}, term), el("dd", {}, value)]));
