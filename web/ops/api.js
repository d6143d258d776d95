// Client of the operators' API; the bearer token is kept in the tab's session storage.

import { codeText, t } from "/ops/i18n.js";

const TOKEN_KEY = "qlive.ops.token";
const TIMEOUT_MS = 15_000;
let tokenRefusedHandler = () => {};

export const token = () => sessionStorage.getItem(TOKEN_KEY);
export const storeToken = (text) => sessionStorage.setItem(TOKEN_KEY, text);
export const clearToken = () => sessionStorage.removeItem(TOKEN_KEY);
/** Sets the handler for tokens that the server refuses. */
export const onTokenRefused = (handler) => { tokenRefusedHandler = handler; };

/** Refusal of a request: `code` is for programs, `message` for users, `fields` maps fields to reasons. */
export class Refused extends Error {
  constructor(status, code, detail, fields = {}) {
    super(codeText("code", code) === code ? detail : codeText("code", code));
    Object.assign(this, { status, code, fields });
  }
}

/** Sends a request to /ops/api/<path>; throws Refused unless the response is successful. */
export async function api(method, path, body) {
  if (!/^[\x21-\x7e]+$/.test(token() ?? "")) throw invalidToken(); // a header cannot carry it
  const headers = { Authorization: `Bearer ${token()}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await send(`/ops/api/${path}`, {
    method, headers, body: body === undefined ? undefined : JSON.stringify(body),
  });
  const json = await response.json().catch(() => ({}));
  if (response.ok) return json;
  const error = new Refused(response.status, json.code ?? "unreadable", json.detail ?? "", json.fields);
  if (error.status === 401) tokenRefusedHandler(error);
  throw error;
}

function invalidToken() {
  const error = new Refused(401, "ops_token", "");
  tokenRefusedHandler(error);
  return error;
}

/** GET with the query parameters that are not empty. */
export function get(path, query = {}) {
  const params = Object.entries(query).filter(([, value]) => value !== "" && value !== false && value != null);
  const text = new URLSearchParams(params).toString();
  return api("GET", text ? `${path}?${text}` : path);
}

/** Text of /metrics, which needs no token and is not audited. */
export async function fetchMetrics() {
  const response = await send("/metrics", {});
  if (!response.ok) throw new Refused(response.status, "unreadable", "");
  return response.text();
}

async function send(path, options) {
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    return await fetch(path, { cache: "no-store", credentials: "omit", signal, ...options });
  } catch {
    throw new Refused(0, "unreachable", t("code.unreachable"));
  }
}

/** Idempotency key of one action: repeating the action with it has no effect. */
export function newRequestId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `console-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
