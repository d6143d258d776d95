// Client of the operators' API; the session is kept in the tab's session storage.

import { codeText, t } from "/ops/i18n.js";

const SESSION_KEY = "qlive.ops.session";
const TIMEOUT_MS = 15_000;
const DOWNLOAD_MS = 300_000;
const IDLE_MS = 60_000;
let tokenRefusedHandler = () => {};
let usedAt = Date.now();

for (const type of ["keydown", "pointerdown", "pointermove", "wheel"]) {
  addEventListener(type, () => { usedAt = Date.now(); }, { passive: true });
}

/** The session as the login returned it: { token, name, role, may }; null without one. */
export const session = () => JSON.parse(sessionStorage.getItem(SESSION_KEY));
const storeSession = (value) => sessionStorage.setItem(SESSION_KEY, JSON.stringify(value));
/** Stores the session that a change of the own account returns instead of the present one. */
export const renewSession = storeSession;
export const clearSession = () => sessionStorage.removeItem(SESSION_KEY);
/** Whether the operator's role permits an operation, named as in the audit log: "PATCH OneUser". */
export const may = (operation) => session()?.may.includes(operation) ?? false;
/** The node if its operation is permitted, otherwise null. */
export const permitted = (operation, node) => (may(operation) ? node : null);
/** Sets the handler for tokens that the server refuses. */
export const onTokenRefused = (handler) => { tokenRefusedHandler = handler; };

/** Refusal of a request: `code` is for programs, `message` for users, `fields` maps fields to reasons. */
export class Refused extends Error {
  constructor(status, code, detail, fields = {}) {
    super(codeText("code", code) === code ? detail : codeText("code", code));
    Object.assign(this, { status, code, fields });
  }
}

/** Sends a request to /ops/api/<path>, with more options of fetch; throws Refused unless the response is successful. */
export async function api(method, path, body, options) {
  const response = await request(method, path, body, options);
  return response.json().catch(() => ({}));
}

async function request(method, path, body, options = {}) {
  const token = session()?.token;
  const headers = { Authorization: `Bearer ${token}` };
  if (Date.now() - usedAt > IDLE_MS) headers["X-QLive-Idle"] = "1"; // must not keep the session alive
  try {
    return await sendJson(`/ops/api/${path}`, method, body, headers, options);
  } catch (error) {
    if (error.status === 401 && session()?.token === token) tokenRefusedHandler(error);
    throw error;
  }
}

/** Sends what a login page has asked for, and stores the session if the response has one. */
export async function logIn(path, values) {
  const answer = await readJson(path, "POST", values);
  if (answer.token) storeSession(answer);
  return answer;
}

/** How one may log in: { demo }. */
export const loginOptions = () => readJson("/ops/api/login/options", "GET");

/** Reads the role again, which may have changed since the login. */
export async function refreshOperator() {
  const operator = await get("session");
  if (session()) storeSession({ ...session(), ...operator });
}

async function readJson(path, method, body) {
  return (await sendJson(path, method, body)).json();
}

/** The response, if it is successful; otherwise throws Refused. */
async function sendJson(path, method, body, headers = {}, more = {}) {
  const type = body === undefined ? {} : { "Content-Type": "application/json" };
  const text = body === undefined ? undefined : JSON.stringify(body);
  const response = await send(path, { method, headers: { ...headers, ...type }, body: text, ...more });
  if (response.ok) return response;
  const json = await response.json().catch(() => ({}));
  throw new Refused(response.status, json.code ?? "unreadable", json.detail ?? "", json.fields);
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
