// The console: who comes in, where they are, and what stands around every page.

import { audit } from "/ops/audit.js";
import { api, dropToken, keepToken, onRefusedToken, token } from "/ops/api.js";
import { button, el, fill } from "/ops/dom.js";
import { language, speak, t } from "/ops/i18n.js";
import { ledger } from "/ops/ledger.js";
import { Samples } from "/ops/metrics.js";
import { inbox, orders } from "/ops/money.js";
import { overview } from "/ops/overview.js";
import { people } from "/ops/people.js";
import { onePerson } from "/ops/person.js";
import { room } from "/ops/room.js";
import { rooms } from "/ops/rooms.js";
import { blocks, configs, gifts } from "/ops/shelves.js";
import { Today } from "/ops/today.js";

// name, page, and the page of one thing of that name
const PAGES = [
  ["overview", overview], ["rooms", rooms, room], ["people", people, onePerson],
  ["gifts", gifts], ["blocks", blocks], ["configs", configs],
  ["orders", orders], ["ledger", ledger], ["inbox", inbox], ["audit", audit],
];
const heard = { samples: new Samples(), today: new Today() }; // whatever page is open
let leave = () => {};
const lists = {}; // by page: its address when it was left, with what was searched for

function whereTo() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, id] = path.split("/");
  const found = PAGES.find(([known]) => known === name) ?? PAGES[0];
  const one = /^[0-9]+$/.test(id ?? "") ? found[2] : undefined;
  return { name: found[0], show: one ?? found[1], id: one ? id : null, query: new URLSearchParams(query) };
}

function languageSwitch() {
  const other = language() === "zh" ? "en" : "zh";
  const words = other === "en" ? "English" : "中文";
  return el("button", { type: "button", class: "quiet", lang: other === "en" ? "en" : "zh-CN", onclick: () => { speak(other); start(); } }, words);
}

/** Draws the frame anew when it has to: after coming in, and in another language. */
function frame() {
  const links = PAGES.map(([name]) => el("a", { href: `#/${name}`, "data-page": name }, t(name)));
  fill(
    document.body,
    el("a", { class: "skip", href: "#main", onclick: skip }, t("skip")),
    el("header", {}, el("div", { class: "rail" },
      el("p", { class: "brand" }, el("img", { src: "/ops/mark.svg", alt: "", width: "28", height: "28" }), "QLive ", el("span", {}, t("console"))),
      el("nav", { "aria-label": t("pages_of_console") }, links),
      el("div", { class: "foot" }, languageSwitch(), button(t("leave"), goOut, "quiet")))),
    el("main", { id: "main", tabindex: "-1" }),
    el("div", { id: "said", role: "status" }),
  );
}

function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

function show() {
  leave();
  const { name, show: page, id, query } = whereTo();
  for (const link of document.querySelectorAll("header nav a")) {
    link.toggleAttribute("aria-current", link.dataset.page === name);
    if (link.dataset.page === name) link.setAttribute("aria-current", "page");
  }
  const title = id ? `${t(`one_${name}`)} ${id}` : t(name);
  document.title = `${title} · QLive ${t("console")}`;
  const place = el("div", { class: `page ${id ? `one-${name}` : name}` });
  fill(document.getElementById("main"), el("div", { class: "title" }, el("h1", {}, title), id ? up(name) : null), place);
  leave = page(place, heard, id, query) ?? (() => {});
}

/** The way back to the list: as it was left, and by the browser's own way when it is the last step,
 *  which keeps the page of it as well. */
function up(name) {
  const href = lists[name] ?? `#/${name}`;
  const back = (event) => {
    if (history.state?.from !== href) return;
    event.preventDefault();
    history.back();
  };
  return el("a", { class: "up", href, onclick: back }, `← ${t(name)}`);
}

function door(words = "") {
  leave();
  leave = () => {};
  for (const one of Object.values(heard)) one.stop();
  const input = el("input", { id: "token", type: "password", autocomplete: "off", required: true });
  const trouble = el("p", { class: "trouble", id: "token-trouble", role: "alert" }, words);
  input.setAttribute("aria-describedby", "token-hint token-trouble");
  const come = async (event) => {
    event.preventDefault();
    keepToken(input.value.trim());
    try {
      await api("GET", "overview");
      start();
    } catch (no) {
      dropToken();
      if (no.status !== 401) fill(trouble, no.message);
    }
  };
  document.title = `${t("come_in")} · QLive ${t("console")}`;
  fill(document.body, el("main", { class: "door" },
    el("form", { class: "card", novalidate: true, onsubmit: come },
      el("img", { src: "/ops/mark.svg", alt: "", width: "44", height: "44" }),
      el("h1", {}, `QLive ${t("console")}`),
      el("div", { class: "field" }, el("label", { for: "token" }, t("token")), input,
        el("p", { class: "hint", id: "token-hint" }, t("token_hint")), trouble),
      el("div", { class: "buttons" }, languageSwitch(), el("button", { type: "submit", class: "main" }, t("come_in"))))));
  input.focus();
}

function goOut() {
  dropToken();
  door();
}

function start() {
  if (!token()) {
    door();
    return;
  }
  for (const one of Object.values(heard)) one.start();
  frame();
  show();
}

onRefusedToken((no) => {
  dropToken();
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  door(no.message);
});
window.addEventListener("hashchange", ({ oldURL }) => {
  const { hash } = new URL(oldURL);
  const [, list] = /^#\/?([a-z]+)(?:\?.*)?$/.exec(hash) ?? [];
  if (list) lists[list] = hash;
  if (!history.state) history.replaceState({ from: hash }, "");
  if (token()) show();
});
speak(language());
start();
