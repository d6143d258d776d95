// The operators' API: one bearer token, kept while the tab is open.

import { t, word } from "/ops/i18n.js";

const KEPT = "qlive.ops.token";
const PATIENCE = 15_000;
let refusedToken = () => {};

export const token = () => sessionStorage.getItem(KEPT);
export const keepToken = (text) => sessionStorage.setItem(KEPT, text);
export const dropToken = () => sessionStorage.removeItem(KEPT);
/** What happens when the server does not know the token (any more). */
export const onRefusedToken = (act) => { refusedToken = act; };

/** A "no": `code` for programs, `message` for people, `fields` what is wrong with which. */
export class Refused extends Error {
  constructor(status, code, detail, fields = {}) {
    super(word("code", code) === code ? detail : word("code", code));
    Object.assign(this, { status, code, fields });
  }
}

/** Ask for /ops/api/<path>; Refused for every answer but a good one. */
export async function api(method, path, body) {
  if (!/^[\x21-\x7e]+$/.test(token() ?? "")) throw refusedHere(); // no header can carry it
  const headers = { Authorization: `Bearer ${token()}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await reach(`/ops/api/${path}`, {
    method, headers, body: body === undefined ? undefined : JSON.stringify(body),
  });
  const said = await answer.json().catch(() => ({}));
  if (answer.ok) return said;
  const no = new Refused(answer.status, said.code ?? "unreadable", said.detail ?? "", said.fields);
  if (no.status === 401) refusedToken(no);
  throw no;
}

function refusedHere() {
  const no = new Refused(401, "ops_token", "");
  refusedToken(no);
  return no;
}

/** api("GET") with what is empty left out of the query. */
export function get(path, query = {}) {
  const sent = Object.entries(query).filter(([, value]) => value !== "" && value !== false && value != null);
  const text = new URLSearchParams(sent).toString();
  return api("GET", text ? `${path}?${text}` : path);
}

/** The text of /metrics, which needs no token and leaves no trace in the audit. */
export async function metrics() {
  const answer = await reach("/metrics", {});
  if (!answer.ok) throw new Refused(answer.status, "unreadable", "");
  return answer.text();
}

async function reach(path, how) {
  try {
    const signal = AbortSignal.timeout(PATIENCE);
    return await fetch(path, { cache: "no-store", credentials: "omit", signal, ...how });
  } catch {
    throw new Refused(0, "unreachable", t("code.unreachable"));
  }
}

/** A name for one deed, so that doing it again by mistake does nothing. */
export function onceId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `console-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
