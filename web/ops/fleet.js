// The fleet: machines, their processes with leases and readings, and the queues that they share.

import { get } from "/ops/api.js";
import { card, scrollTable, statusDot, tile } from "/ops/dom.js";
import { el, fill } from "/ops/shared/dom.js";
import { formatDateTime, formatDuration, formatInteger, formatNumber } from "/ops/format.js";
import { codeText, t } from "/ops/i18n.js";

const POLL_MS = 10_000;
const MAX_COUNT = 10_000; // the server counts no further
const LATE_LEASE_SECONDS = 10; // two renewals
const BUSY_LOOP_MS = 100;
const STATE_KINDS = { serving: "good", draining: "warn", missing: "bad" };
const COUNTS = ["sockets", "rooms", "requests", "joins_waiting", "slow_clients", "rooms_behind", "relay_waiting", "bus_waiting"];

export function fleetPage(container) {
  const tileRow = el("div", { class: "tiles" });
  const machines = el("div", { class: "machines" });
  const tables = new Map(); // by machine: kept, so that focus and scroll position survive a poll
  fill(container, tileRow, el("p", { class: "note" }, t("fleet_note")), machines);

  const show = (fleet) => {
    fill(tileRow, tiles(fleet));
    const names = fleet.machines.map(({ machine }) => machine);
    if (names.length !== tables.size || names.some((name) => !tables.has(name))) {
      tables.clear();
      for (const name of names) tables.set(name, machineTable(name));
      fill(machines, [...tables.values()].map(({ node }) => node));
    }
    for (const { machine, processes } of fleet.machines) {
      fill(tables.get(machine).body, processes.map((process) => row(process, fleet)));
    }
  };
  const poll = async () => {
    const fleet = await get("fleet");
    if (container.isConnected) show(fleet);
  };
  const timer = setInterval(() => document.hidden || poll(), POLL_MS);
  poll();
  return () => clearInterval(timer);
}

const count = (n) => `${formatInteger(n)}${n >= MAX_COUNT ? "+" : ""}`;
const hasLease = ({ state }) => state === "serving" || state === "draining";

function tiles({ machines, missing, queues, versions }) {
  const differ = versions.length > 1;
  const held = machines.flatMap(({ processes }) => processes).filter(hasLease);
  const sum = (name) => formatInteger(held.reduce((total, { readings }) => total + readings[name], 0));
  const { outbox_urgent: urgent, outbox_normal: normal, relay_rooms: rooms } = queues;
  return [
    tile(t("machines"), formatInteger(machines.length), t("processes_n", { n: held.length })),
    tile(t("missing_processes"), formatInteger(missing), t("missing_note"), missing ? "warn" : ""),
    tile(t("versions"), t(differ ? "versions_differ" : "versions_same"), versions.join(", "), differ ? "warn" : ""),
    tile(t("chart.sockets"), sum("sockets"), t("requests_n", { n: sum("requests") })),
    tile(t("outbox"), count(urgent + normal), t("outbox_note", { n: count(urgent), s: formatDuration(queues.outbox_oldest_seconds) })),
    tile(t("relay"), count(rooms), t("relay_note", { n: count(rooms), s: formatDuration(queues.relay_oldest_seconds) })),
  ];
}

function machineTable(machine) {
  const headings = ["process", "state", "lease", "version", "loop_lag", ...COUNTS].map((key) => t(key));
  const table = scrollTable(t("processes_of", { machine }), headings, []);
  return { node: card(machine, table), body: table.querySelector("tbody") };
}

function row(process, { at, versions }) {
  const { readings, state, version } = process;
  return el("tr", {},
    el("th", { scope: "row" }, t("port_n", { port: new URL(process.address).port }), el("small", {}, `pid ${process.pid}`)),
    el("td", {}, statusDot(STATE_KINDS[state] ?? "muted", codeText("process_state", state))),
    el("td", {}, lease(process, at)),
    el("td", {}, versions.length > 1 ? statusDot("warn", version) : version, runsFor(process, at)),
    el("td", { class: "number" }, lag(readings.loop_lag_ms)),
    COUNTS.map((name) => el("td", { class: "number" }, formatInteger(readings[name]))));
}

function lease({ lease_age_seconds: age, lease_until: until }, at) {
  const left = (new Date(until) - new Date(at)) / 1000;
  const text = left < 0 ? t("lease_lapsed", { s: formatDuration(-left) }) : t("lease_left", { s: formatDuration(left) });
  return [t("renewed", { s: formatDuration(age) }), el("small", {}, left >= 0 && age > LATE_LEASE_SECONDS ? statusDot("warn", text) : text)];
}

function runsFor(process, at) {
  const started = process.started_at;
  const runs = () => t("runs_for", { s: formatDuration((new Date(at) - new Date(started)) / 1000) });
  return el("small", {}, hasLease(process) ? runs() : t("started", { at: formatDateTime(started) }));
}

function lag(ms) {
  const text = `${formatNumber(ms)} ms`;
  return ms > BUSY_LOOP_MS ? statusDot("warn", text) : text;
}
