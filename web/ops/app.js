// The console: login, navigation and the frame around every page.

import { auditPage } from "/ops/audit.js";
import { api, clearToken, onTokenRefused, storeToken, token } from "/ops/api.js";
import { button, el, fill } from "/ops/dom.js";
import { language, speak, t } from "/ops/i18n.js";
import { ledgerPage } from "/ops/ledger.js";
import { Samples } from "/ops/metrics.js";
import { inboxPage, ordersPage } from "/ops/payments.js";
import { overviewPage } from "/ops/overview.js";
import { peoplePage } from "/ops/people.js";
import { personPage } from "/ops/person.js";
import { roomPage } from "/ops/room.js";
import { roomsPage } from "/ops/rooms.js";
import { blocksPage, configsPage, giftsPage } from "/ops/catalogue.js";
import { OverviewPoller } from "/ops/overview_poller.js";

// name, page and, for some, detail page
const PAGES = [
  ["overview", overviewPage], ["rooms", roomsPage, roomPage], ["people", peoplePage, personPage],
  ["gifts", giftsPage], ["blocks", blocksPage], ["configs", configsPage],
  ["orders", ordersPage], ["ledger", ledgerPage], ["inbox", inboxPage], ["audit", auditPage],
];
const sources = { samples: new Samples(), overviewPoller: new OverviewPoller() }; // sampled on every page
let closePage = () => {};
const listUrls = {}; // by page name: URL of its list with filters, as last left

function parseHash() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, id] = path.split("/");
  const entry = PAGES.find(([known]) => known === name) ?? PAGES[0];
  const detailPage = /^[0-9]+$/.test(id ?? "") ? entry[2] : undefined;
  return { name: entry[0], page: detailPage ?? entry[1], id: detailPage ? id : null, query: new URLSearchParams(query) };
}

function languageSwitch() {
  const other = language() === "zh" ? "en" : "zh";
  const label = other === "en" ? "English" : "中文";
  return el("button", { type: "button", class: "quiet", lang: other === "en" ? "en" : "zh-CN", onclick: () => { speak(other); start(); } }, label);
}

/** Renders the frame: after the login and after a change of the language. */
function renderFrame() {
  const links = PAGES.map(([name]) => el("a", { href: `#/${name}`, "data-page": name }, t(name)));
  fill(
    document.body,
    el("a", { class: "skip", href: "#main", onclick: skipToContent }, t("skip")),
    el("header", {}, el("div", { class: "rail" },
      el("p", { class: "brand" }, el("img", { src: "/ops/mark.svg", alt: "", width: "28", height: "28" }), "QLive ", el("span", {}, t("console"))),
      el("nav", { "aria-label": t("pages_of_console") }, links),
      el("div", { class: "foot" }, languageSwitch(), button(t("leave"), logOut, "quiet")))),
    el("main", { id: "main", tabindex: "-1" }),
    el("div", { id: "said", role: "status" }),
  );
}

function skipToContent(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

function showPage() {
  closePage();
  const { name, page, id, query } = parseHash();
  for (const link of document.querySelectorAll("header nav a")) {
    link.toggleAttribute("aria-current", link.dataset.page === name);
    if (link.dataset.page === name) link.setAttribute("aria-current", "page");
  }
  const title = id ? `${t(`one_${name}`)} ${id}` : t(name);
  document.title = `${title} · QLive ${t("console")}`;
  const container = el("div", { class: `page ${id ? `one-${name}` : name}` });
  fill(document.getElementById("main"), el("div", { class: "title" }, el("h1", {}, title), id ? backLink(name) : null), container);
  closePage = page(container, sources, id, query) ?? (() => {});
}

/**
 * Link back to the list as it was left.
 *
 * Uses the browser's back if that leads there, which also keeps the page of the list.
 */
function backLink(name) {
  const href = listUrls[name] ?? `#/${name}`;
  const goBack = (event) => {
    if (history.state?.from !== href) return;
    event.preventDefault();
    history.back();
  };
  return el("a", { class: "up", href, onclick: goBack }, `← ${t(name)}`);
}

function showLogin(message = "") {
  closePage();
  closePage = () => {};
  for (const source of Object.values(sources)) source.stop();
  const input = el("input", { id: "token", type: "password", autocomplete: "off", required: true });
  const errorNode = el("p", { class: "trouble", id: "token-trouble", role: "alert" }, message);
  input.setAttribute("aria-describedby", "token-hint token-trouble");
  const logIn = async (event) => {
    event.preventDefault();
    storeToken(input.value.trim());
    try {
      await api("GET", "overview");
      start();
    } catch (error) {
      clearToken();
      if (error.status !== 401) fill(errorNode, error.message);
    }
  };
  document.title = `${t("come_in")} · QLive ${t("console")}`;
  fill(document.body, el("main", { class: "door" },
    el("form", { class: "card", novalidate: true, onsubmit: logIn },
      el("img", { src: "/ops/mark.svg", alt: "", width: "44", height: "44" }),
      el("h1", {}, `QLive ${t("console")}`),
      el("div", { class: "field" }, el("label", { for: "token" }, t("token")), input,
        el("p", { class: "hint", id: "token-hint" }, t("token_hint")), errorNode),
      el("div", { class: "buttons" }, languageSwitch(), el("button", { type: "submit", class: "main" }, t("come_in"))))));
  input.focus();
}

function logOut() {
  clearToken();
  showLogin();
}

function start() {
  if (!token()) {
    showLogin();
    return;
  }
  for (const source of Object.values(sources)) source.start();
  renderFrame();
  showPage();
}

onTokenRefused((error) => {
  clearToken();
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  showLogin(error.message);
});
window.addEventListener("hashchange", ({ oldURL }) => {
  const { hash } = new URL(oldURL);
  const [, listName] = /^#\/?([a-z]+)(?:\?.*)?$/.exec(hash) ?? [];
  if (listName) listUrls[listName] = hash;
  if (!history.state) history.replaceState({ from: hash }, "");
  if (token()) showPage();
});
speak(language());
start();
