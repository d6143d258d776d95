// Client of the operators' API; the bearer token is kept in the tab's session storage.

import { codeText, t } from "/ops/i18n.js";

const TOKEN_KEY = "qlive.ops.token";
const TIMEOUT_MS = 15_000;
const DOWNLOAD_MS = 300_000;
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
  const response = await request(method, path, body);
  return response.json().catch(() => ({}));
}

async function request(method, path, body, options = {}) {
  if (!/^[\x21-\x7e]+$/.test(token() ?? "")) throw invalidToken(); // a header cannot carry it
  const headers = { Authorization: `Bearer ${token()}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await send(`/ops/api/${path}`, {
    method, headers, body: body === undefined ? undefined : JSON.stringify(body), ...options,
  });
  if (response.ok) return response;
  const json = await response.json().catch(() => ({}));
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
export const get = (path, query = {}) => api("GET", withQuery(path, query));

function withQuery(path, query) {
  const params = Object.entries(query).filter(([, value]) => value !== "" && value !== false && value != null);
  const text = new URLSearchParams(params).toString();
  return text ? `${path}?${text}` : path;
}

/** Saves the file that /ops/api/<path> answers; a link could not carry the token. */
export async function download(path, query, name) {
  const response = await request("GET", withQuery(path, query), undefined, { signal: AbortSignal.timeout(DOWNLOAD_MS) });
  const content = await response.blob().catch(() => { throw new Refused(0, "unreachable", t("code.unreachable")); });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // the browser may read it later
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
