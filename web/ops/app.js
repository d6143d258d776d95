// The console: login, navigation and the frame around every page.

import { approvalsPage } from "/ops/approvals.js";
import { auditPage } from "/ops/audit.js";
import { Refused, api, clearSession, may, onTokenRefused, refreshOperator, session } from "/ops/api.js";
import { button, el, fill } from "/ops/shared/dom.js";
import { toastErrors } from "/ops/shared/toast.js";
import { fleetPage } from "/ops/fleet.js";
import { codeText, language, setLanguage, t } from "/ops/i18n.js";
import { showLogin } from "/ops/login.js";
import { moderationPage } from "/ops/moderation.js";
import { billsPage } from "/ops/bills.js";
import { ledgerPage } from "/ops/ledger.js";
import { livesPage } from "/ops/lives.js";
import { inboxPage, ordersPage } from "/ops/payments.js";
import { accountPage, operatorsPage } from "/ops/operators.js";
import { overviewPage } from "/ops/overview.js";
import { peoplePage } from "/ops/people.js";
import { personPage } from "/ops/person.js";
import { refundCasePage } from "/ops/refund_case.js";
import { refundsPage } from "/ops/refunds.js";
import { roomPage } from "/ops/room.js";
import { roomsPage } from "/ops/rooms.js";
import { blocksPage, configsPage, giftsPage } from "/ops/catalogue.js";
import { OverviewPoller } from "/ops/overview_poller.js";
import { withdrawalsPage } from "/ops/withdrawals.js";

// name, the operation that it needs, page and, for some, detail page
const PAGES = [
  ["overview", "GET Overview", overviewPage], ["fleet", "GET Fleet", fleetPage], ["rooms", "GET Rooms", roomsPage, roomPage],
  ["lives", "GET Lives", livesPage],
  ["people", "GET Users", peoplePage, personPage], ["moderation", "GET Items", moderationPage],
  ["gifts", "GET Gifts", giftsPage], ["blocks", "GET Blocks", blocksPage], ["configs", "GET Configs", configsPage],
  ["orders", "GET Orders", ordersPage], ["bills", "GET Bills", billsPage], ["ledger", "GET Ledger", ledgerPage],
  ["withdrawals", "GET Withdrawals", withdrawalsPage], ["refunds", "GET Refunds", refundsPage, refundCasePage],
  ["approvals", "GET Approvals", approvalsPage], ["inbox", "GET Inbox", inboxPage],
  ["audit", "GET Log", auditPage], ["operators", "GET Operators", operatorsPage], ["account", "PATCH Account", accountPage],
];
const permittedPages = () => PAGES.filter(([, operation]) => may(operation));
const overviewPoller = new OverviewPoller(); // on every page, where it notices the end of the session
let closePage = () => {};
const listUrls = {}; // by page name: URL of its list with filters, as last left

function parseHash() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, id] = path.split("/");
  const entry = permittedPages().find(([known]) => known === name) ?? PAGES[0];
  const detailPage = /^[0-9A-Za-z]+$/.test(id ?? "") ? entry[3] : undefined;
  return { name: entry[0], page: detailPage ?? entry[2], id: detailPage ? id : null, query: new URLSearchParams(query) };
}

function languageSwitch() {
  const other = language() === "zh" ? "en" : "zh";
  const label = other === "en" ? "English" : "中文";
  return el("button", { type: "button", class: "quiet", lang: other === "en" ? "en" : "zh-CN", onclick: () => { setLanguage(other); start(); } }, label);
}

/** Renders the frame: after the login and after a change of the language. */
function renderFrame() {
  const { name: operator, role } = session();
  const links = permittedPages().filter(([name]) => name !== "account").map(([name]) => el("a", { href: `#/${name}`, "data-page": name }, t(name)));
  fill(
    document.body,
    el("a", { class: "skip", href: "#main", onclick: skipToContent }, t("skip")),
    el("header", {}, el("div", { class: "rail" },
      el("p", { class: "brand" }, el("img", { src: "/ops/mark.svg", alt: "", width: "28", height: "28" }), "QLive ", el("span", {}, t("console"))),
      el("nav", { "aria-label": t("pages_of_console") }, links),
      el("div", { class: "foot" },
        el("p", { class: "operator" }, el("a", { href: "#/account", title: t("account") }, operator), el("small", {}, codeText("operator_role", role))),
        languageSwitch(), button(t("log_out"), logOut, { kind: "quiet" })))),
    el("main", { id: "main", tabindex: "-1" }),
    el("div", { "data-toasts": true }),
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
  closePage = page(container, overviewPoller, id, query) ?? (() => {});
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

function openLogin(message = "") {
  closePage();
  closePage = () => {};
  overviewPoller.stop();
  showLogin({ message, languageSwitch, onLogin: start });
}

function logOut() {
  api("DELETE", "session").catch(() => {}); // it ends by itself if the server is away
  clearSession();
  openLogin();
}

function start() {
  if (!session()) {
    openLogin();
    return;
  }
  overviewPoller.start();
  renderFrame();
  showPage();
}

toastErrors((error) => {
  if (!(error instanceof Refused)) return null;
  return error.status === 401 ? "" : error.message; // the login page shows that the session has ended
});
onTokenRefused((error) => {
  if (!session()) return; // by another request of the same session
  clearSession();
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  openLogin(error.message);
});
window.addEventListener("hashchange", ({ oldURL }) => {
  const { hash } = new URL(oldURL);
  const [, listName] = /^#\/?([a-z]+)(?:\?.*)?$/.exec(hash) ?? [];
  if (listName) listUrls[listName] = hash;
  if (!history.state) history.replaceState({ from: hash }, "");
  if (session()) showPage();
});
setLanguage(language());
start();
if (session()) refreshOperator().catch(() => {});
