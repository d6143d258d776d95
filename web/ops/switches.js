// Switches in the consoles of WeChat and Tencent: what is known of each, what breaks without it, and
// the checks that an admin runs.

import { api, get, permitted } from "/ops/api.js";
import { card, scrollTable, statusDot, tile } from "/ops/dom.js";
import { button, el, fill } from "/ops/shared/dom.js";
import { showToast } from "/ops/shared/toast.js";
import { formatDateTime, formatInteger } from "/ops/format.js";
import { codeText, language, t } from "/ops/i18n.js";

const KINDS = { right: "good", wrong: "bad", "not seen": "warn", "cannot be told": "muted", "not used": "muted" };
const CHECK_MS = 40_000; // the checks take up to 20 s

export function switchesPage(container) {
  const tileRow = el("div", { class: "tiles" });
  const note = el("p", { class: "note", role: "status" });
  const cards = el("div", { class: "switch-cards" });
  const runButton = permitted("POST Checks", button(t("run_checks"), run, { kind: "main" }));
  fill(container, tileRow, el("div", { class: "card-head" }, note, runButton), cards);

  async function show() {
    const { consoles, switches, last_checks: checks } = await get("switches");
    if (!container.isConnected) return;
    fill(tileRow, Object.keys(KINDS).map((state) => stateTile(state, switches)));
    fill(note, checks.at ? t("checks_run_at", { at: formatDateTime(checks.at) }) : t("checks_not_run"));
    const ofSwitches = new Set(switches.flatMap((row) => row.switch.checks));
    const others = checks.findings.filter(({ name, verdict }) => verdict === "wrong" && !ofSwitches.has(name));
    fill(cards, others.length ? card(t("other_findings"), el("ul", { class: "findings" }, others.map(findingItem))) : null,
      Object.entries(consoles).map(([name, address]) => consoleCard(name, address, switches, checks.findings)));
  }

  async function run() {
    fill(note, t("checks_running"));
    try {
      await api("POST", "switches/checks", undefined, { signal: AbortSignal.timeout(CHECK_MS) });
      showToast(t("checks_done"));
    } finally {
      await show();
    }
  }
  show();
}

function stateTile(state, switches) {
  const count = switches.filter((row) => row.state === state).length;
  return tile(codeText("switch_state", state), formatInteger(count), t(`switch_note.${state}`), state === "wrong" && count ? "warn" : "");
}

function consoleCard(name, address, switches, findings) {
  const link = el("a", { href: `https://${address}`, target: "_blank", rel: "noreferrer" }, address);
  const rows = switches.filter((row) => row.switch.console === name).map((row) => switchRow(row, findings));
  const headings = [t("state"), t("switch"), t("without_switch")];
  return card("", el("div", { class: "card-head" }, el("h2", {}, codeText("console", name)), link),
    scrollTable(codeText("console", name), headings, rows));
}

function switchRow({ switch: row, state, last_at: lastAt }, findings) {
  const shown = state === "wrong" ? findings.filter(({ name, verdict }) => verdict === "wrong" && row.checks.includes(name)) : [];
  const lastCame = lastAt ? el("small", {}, t("last_came", { at: formatDateTime(lastAt) })) : null;
  return el("tr", {},
    el("td", {}, statusDot(KINDS[state], codeText("switch_state", state)), lastCame),
    el("td", {}, row.path, el("small", {}, row.value)),
    el("td", {}, language() === "zh" ? row.zh : row.without,
      shown.length ? el("ul", { class: "findings" }, shown.map(findingItem)) : null));
}

const findingItem = ({ name, tried, came_back: cameBack, to_do: toDo }) =>
  el("li", {}, el("code", {}, name), ` ${tried}: ${cameBack}`, el("small", {}, toDo));
