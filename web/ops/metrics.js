// What /metrics says, read every five seconds and kept for half an hour.
//
// Behind one address there may be several processes, and each answer is that of one of them:
// rates are reckoned per process, and what is shown is the sum over those heard in the last minute.

import { metrics } from "/ops/api.js";

export const EVERY = 5000;
const KEPT = 30 * 60 * 1000;
const HEARD = 60 * 1000;
const STORED = "qlive.ops.samples";

/** Rows of the last half hour as this tab had them before it was loaded anew. */
export function recall(name) {
  try {
    const rows = JSON.parse(sessionStorage.getItem(name)) ?? [];
    return rows.filter((row) => row.at > Date.now() - KEPT && row.at <= Date.now());
  } catch {
    return []; // of another version
  }
}

/** The rows without those that are too old: one half hour, so it cannot grow. */
export function remember(name, rows) {
  while (rows[0]?.at < rows.at(-1).at - KEPT) rows.shift();
  try {
    sessionStorage.setItem(name, JSON.stringify(rows));
  } catch {
    // full or forbidden: the charts begin anew at the next reload, nothing else is lost
  }
}

/** Prometheus text as [{ name, labels, value }]. */
export function parse(text) {
  const found = [];
  for (const line of text.split("\n")) {
    const said = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!said) continue;
    const labels = {};
    for (const [, key, value] of (said[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) labels[key] = value;
    found.push({ name: said[1], labels, value: said[3] === "+Inf" ? Infinity : Number(said[3]) });
  }
  return found;
}

const sum = (rows) => rows.reduce((all, row) => all + row.value, 0);

/** One look at one process: gauges, counters, and buckets by their upper bound. */
export function look(text, at) {
  const rows = parse(text);
  const named = (name) => rows.filter((row) => row.name === name);
  const gauge = (name) => (named(name).length ? sum(named(name)) : null);
  const answered = named("qlive_requests_total");
  const status = (first) => sum(answered.filter((row) => row.labels.status?.startsWith(first)));
  const buckets = (name) => {
    const heights = new Map();
    for (const row of named(`${name}_bucket`)) {
      const bound = row.labels.le === "+Inf" ? Infinity : Number(row.labels.le);
      heights.set(bound, (heights.get(bound) ?? 0) + row.value);
    }
    return heights;
  };
  return {
    at,
    process: gauge("qlive_process_id") ?? 0,
    sockets: gauge("qlive_sockets"),
    lag: gauge("qlive_loop_lag_seconds"),
    events: gauge("qlive_events_told_total"),
    requests: sum(answered),
    refused: status("4"),
    failed: status("5"),
    took: buckets("qlive_request_seconds"),
    told: buckets("qlive_told_seconds"),
  };
}

/** The p-th part of what came between two looks, in seconds; null when nothing came. */
export function percentile(before, after, p) {
  const bounds = [...after.keys()].sort((a, b) => a - b);
  const heights = bounds.map((bound) => after.get(bound) - (before.get(bound) ?? 0));
  const all = heights.at(-1) ?? 0;
  if (all <= 0) return null;
  const i = heights.findIndex((height) => height >= p * all);
  const [low, under] = i > 0 ? [bounds[i - 1], heights[i - 1]] : [0, 0];
  if (bounds[i] === Infinity) return low;
  const share = heights[i] > under ? (p * all - under) / (heights[i] - under) : 1;
  return low + (bounds[i] - low) * share;
}

/** The sample between two looks at one process; rates are null after a restart. */
export function between(before, now) {
  const seconds = (now.at - before.at) / 1000;
  const rate = (name) => {
    const more = now[name] - before[name];
    return more >= 0 && seconds >= 1 ? more / seconds : null;
  };
  const ms = (name) => {
    const found = percentile(before[name], now[name], 0.99);
    return found === null ? null : found * 1000;
  };
  return {
    at: now.at,
    sockets: now.sockets,
    lag: now.lag === null ? null : now.lag * 1000,
    events: rate("events"),
    requests: rate("requests"),
    refused: rate("refused"),
    failed: rate("failed"),
    took: ms("took"),
    told: ms("told"),
  };
}

/** What several processes say together: sums, but the worst of what is a wait. */
export function together(samples, at) {
  const joined = { at };
  for (const name of ["sockets", "events", "requests", "refused", "failed", "lag", "took", "told"]) {
    const said = samples.map((sample) => sample[name]).filter((value) => value !== null);
    const worst = ["lag", "took", "told"].includes(name);
    joined[name] = said.length ? (worst ? Math.max(...said) : said.reduce((a, b) => a + b, 0)) : null;
  }
  return joined;
}

/** The samples of the last half hour, and whoever wants to know of the next one. */
export class Samples {
  constructor() {
    this.rows = recall(STORED);
    this.measuresTold = false;
    this.trouble = null;
    this._looks = new Map();
    this._latest = new Map();
    this._listeners = new Set();
  }

  /** How many processes have been heard of late. */
  get processes() {
    return this._latest.size;
  }

  start() {
    this._timer ??= setInterval(() => this.take(), EVERY);
    if (!this._looks.size) this.take();
  }

  stop() {
    clearInterval(this._timer);
    this._timer = undefined;
  }

  onSample(act) {
    this._listeners.add(act);
    return () => this._listeners.delete(act);
  }

  async take() {
    if (this._taking) return; // what comes late must not overtake what comes after it
    this._taking = true;
    try {
      this._add(look(await metrics(), Date.now()));
      this.trouble = null;
    } catch (no) {
      this.trouble = no;
      this.rows.push({ at: Date.now() }); // a hole in the line
    } finally {
      this._taking = false;
    }
    remember(STORED, this.rows);
    for (const act of this._listeners) act();
  }

  _add(seen) {
    const before = this._looks.get(seen.process) ?? seen; // from which nothing follows yet
    this._looks.set(seen.process, seen);
    this._latest.set(seen.process, between(before, seen));
    for (const [process, sample] of this._latest) {
      if (sample.at < seen.at - HEARD) this._latest.delete(process);
    }
    this.measuresTold ||= seen.told.size > 0;
    this.rows.push(together([...this._latest.values()], seen.at));
  }
}
