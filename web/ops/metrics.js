// Samples of the metrics, taken every five seconds and kept for half an hour.
//
// A response has the sum over all workers of a server. Behind a load balancer several servers share
// the address: rates are computed per server, and the shown value is the sum over those seen in the
// last minute.

import { fetchMetrics } from "/ops/api.js";

export const SAMPLE_INTERVAL_MS = 5000;
const HISTORY_MS = 30 * 60 * 1000;
const SERVER_TIMEOUT_MS = 60 * 1000;
const STORAGE_KEY = "qlive.ops.samples";

/** Rows of the last half hour that this tab stored before it was reloaded. */
export function recall(name) {
  try {
    const rows = JSON.parse(sessionStorage.getItem(name)) ?? [];
    return rows.filter((row) => row.at > Date.now() - HISTORY_MS && row.at <= Date.now());
  } catch {
    return []; // stored by another version
  }
}

/** Drops rows older than half an hour and stores the rest, so the size is bounded. */
export function remember(name, rows) {
  while (rows[0]?.at < rows.at(-1).at - HISTORY_MS) rows.shift();
  try {
    sessionStorage.setItem(name, JSON.stringify(rows));
  } catch {
    // storage is full or disabled: the charts start empty after a reload
  }
}

/** Parses Prometheus text into [{ name, labels, value }]. */
export function parseMetrics(text) {
  const metrics = [];
  for (const line of text.split("\n")) {
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!match) continue;
    const labels = {};
    for (const [, key, value] of (match[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) labels[key] = value;
    metrics.push({ name: match[1], labels, value: match[3] === "+Inf" ? Infinity : Number(match[3]) });
  }
  return metrics;
}

const maximum = (rows) => (rows.length ? Math.max(...rows.map((row) => row.value)) : null);
const sum = (rows) => rows.reduce((total, row) => total + row.value, 0);

/** One scrape of one server: gauges, counters, and cumulative buckets by upper bound. */
export function look(text, at) {
  const rows = parseMetrics(text);
  const named = (name) => rows.filter((row) => row.name === name);
  const gauge = (name) => (named(name).length ? sum(named(name)) : null);
  const requests = named("qlive_requests_total");
  const status = (first) => sum(requests.filter((row) => row.labels.status?.startsWith(first)));
  const buckets = (name) => {
    const counts = new Map();
    for (const row of named(`${name}_bucket`)) {
      const upperBound = row.labels.le === "+Inf" ? Infinity : Number(row.labels.le);
      counts.set(upperBound, (counts.get(upperBound) ?? 0) + row.value);
    }
    return counts;
  };
  return {
    at,
    server: named("qlive_server_info")[0]?.labels.server ?? gauge("qlive_process_id"),
    workers: gauge("qlive_workers") ?? 1,
    sockets: gauge("qlive_sockets"),
    lag: maximum(named("qlive_loop_lag_seconds")),
    events: gauge("qlive_events_told_total"),
    requests: sum(requests),
    refused: status("4"),
    failed: status("5"),
    took: buckets("qlive_request_seconds"),
    told: buckets("qlive_told_seconds"),
  };
}

/** Percentile of the durations between two scrapes, in seconds; null if there were none. */
export function percentile(previous, current, p) {
  const bounds = [...current.keys()].sort((a, b) => a - b);
  const counts = bounds.map((upperBound) => current.get(upperBound) - (previous.get(upperBound) ?? 0));
  const total = counts.at(-1) ?? 0;
  if (total <= 0) return null;
  const i = counts.findIndex((count) => count >= p * total);
  const [low, lowerCount] = i > 0 ? [bounds[i - 1], counts[i - 1]] : [0, 0];
  if (bounds[i] === Infinity) return low;
  const fraction = counts[i] > lowerCount ? (p * total - lowerCount) / (counts[i] - lowerCount) : 1;
  return low + (bounds[i] - low) * fraction;
}

/** Sample between two scrapes of a server; rates are null after a restart of the server. */
export function between(previous, current) {
  const seconds = (current.at - previous.at) / 1000;
  const rate = (name) => {
    const increase = current[name] - previous[name];
    return increase >= 0 && seconds >= 1 ? increase / seconds : null;
  };
  const ms = (name) => {
    const duration = percentile(previous[name], current[name], 0.99);
    return duration === null ? null : duration * 1000;
  };
  return {
    at: current.at,
    workers: current.workers,
    sockets: current.sockets,
    lag: current.lag === null ? null : current.lag * 1000,
    events: rate("events"),
    requests: rate("requests"),
    refused: rate("refused"),
    failed: rate("failed"),
    took: ms("took"),
    told: ms("told"),
  };
}

/** Combines samples of several servers: maximum of durations, sum of everything else. */
export function together(samples, at) {
  const joined = { at };
  for (const name of ["sockets", "events", "requests", "refused", "failed", "lag", "took", "told"]) {
    const values = samples.map((sample) => sample[name]).filter((value) => value !== null);
    const takesMaximum = ["lag", "took", "told"].includes(name);
    joined[name] = values.length ? (takesMaximum ? Math.max(...values) : values.reduce((a, b) => a + b, 0)) : null;
  }
  return joined;
}

/** Samples of the last half hour, with listeners for new ones. */
export class Samples {
  constructor() {
    this.rows = recall(STORAGE_KEY);
    this.hasDeliveryTimes = false;
    this.error = null;
    this._scrapes = new Map();
    this._latest = new Map();
    this._listeners = new Set();
  }

  /** Number of workers of the servers seen in the last minute. */
  get processes() {
    return [...this._latest.values()].reduce((total, sample) => total + sample.workers, 0);
  }

  start() {
    this._timer ??= setInterval(() => this.scrape(), SAMPLE_INTERVAL_MS);
    if (!this._scrapes.size) this.scrape();
  }

  stop() {
    clearInterval(this._timer);
    this._timer = undefined;
  }

  onSample(listener) {
    this._listeners.add(listener);
    return () => this._listeners.delete(listener);
  }

  async scrape() {
    if (this._scraping) return; // responses must not overtake each other
    this._scraping = true;
    try {
      this._add(look(await fetchMetrics(), Date.now()));
      this.error = null;
    } catch (error) {
      this.error = error;
      this.rows.push({ at: Date.now() }); // a gap in the line
    } finally {
      this._scraping = false;
    }
    remember(STORAGE_KEY, this.rows);
    for (const listener of this._listeners) listener();
  }

  _add(scrape) {
    const previous = this._scrapes.get(scrape.server) ?? scrape; // the first scrape of a server yields no rates
    this._scrapes.set(scrape.server, scrape);
    this._latest.set(scrape.server, between(previous, scrape));
    for (const [server, sample] of this._latest) {
      if (sample.at < scrape.at - SERVER_TIMEOUT_MS) this._latest.delete(server);
    }
    this.hasDeliveryTimes ||= scrape.told.size > 0;
    this.rows.push(together([...this._latest.values()], scrape.at));
  }
}
