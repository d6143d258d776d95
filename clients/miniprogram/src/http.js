// HTTP requests to the API and their errors.

import { CALLS } from "./calls.js";
import { Refused, Unreachable, isRefused } from "./errors.js";

const RETRIES = 2;
const MAX_RETRY_AFTER_S = 5; // a user waits so long; a longer delay is left to the page
const JITTER_MS = 500; // clients that were refused together do not return together

// Not to be repeated after a refusal that says when to try again: a WeChat code works once, each
// order is a new one, and gifts.js has its own retries.
const NOT_REPEATABLE = ["createUser", "login", "pay", "pushGift"];


export class Http {
  constructor(platform, base, session, log) {
    this._platform = platform;
    this._base = base;
    this._session = session;
    this._log = log;
  }

  /**
   * Response of an endpoint, by its name in CALLS; throws Refused or Unreachable.
   *
   * A repeatable call that is refused for a few seconds (429 and 503 with Retry-After) is sent again
   * after that time; one whose token is refused, once more after a sign-in, if the client signs in
   * again by itself.
   */
  async call(name, params) {
    const { token, userId } = this._session;
    try {
      return await this.callUnrenewed(name, params);
    } catch (error) {
      if (!isRefused(error) || error.status !== 401) throw error;
      const isReplaced = await this._session.tokenRefused(token, error);
      const isSameUser = isReplaced && this._session.userId === userId;
      if (!isSameUser || name === "pay") throw error; // the user orders again
      return this._call(name, params);
    }
  }

  /** The same without a sign-in after a refused token: for the calls of a sign-in itself. */
  async callUnrenewed(name, params) {
    const { token } = this._session;
    for (let retries = NOT_REPEATABLE.includes(name) ? 0 : RETRIES; ; retries--) {
      try {
        return await this._call(name, params);
      } catch (error) {
        if (retries === 0 || !isShortDelay(error)) throw error;
        await this._delay(error.retryAfter * 1000 + this._platform.random() * JITTER_MS);
        if (this._session.token !== token) throw error; // logged out, or another user meanwhile
      }
    }
  }

  _delay(ms) {
    return new Promise((resolve) => this._platform.setTimeout(resolve, ms));
  }

  async _call(name, params) {
    const startedAt = this._platform.now();
    const [method, path] = CALLS[name];
    try {
      const answer = outcome(await this._request(method, path, params || {}));
      this._log("debug", "call", { name, ms: this._platform.now() - startedAt });
      return answer;
    } catch (error) {
      const { status, code, requestId } = error;
      this._log("warn", "call failed", { name, error: error.name, status, code, requestId });
      throw error;
    }
  }

  async _request(method, path, params) {
    const { token } = this._session;
    const url = this._base + "/" + path;
    const headers = { Accept: "application/json" };
    if (token) headers.Authorization = "QLiveToken " + token;
    const options = { method, headers, url: method === "GET" ? url + queryString(params) : url };
    if (method === "POST") {
      headers["Content-Type"] = "application/json";
      options.data = params;
    }
    try {
      return await this._platform.request(options);
    } catch (error) {
      throw new Unreachable((error && error.message) || "no response from the network");
    }
  }
}

/** Query string with `?`, without undefined and null values; mini-programs lack URLSearchParams. */
export function queryString(params) {
  const pairs = Object.keys(params)
    .filter((name) => params[name] !== undefined && params[name] !== null)
    .map((name) => encodeURIComponent(name) + "=" + encodeURIComponent(params[name]));
  return pairs.length ? "?" + pairs.join("&") : "";
}

function isShortDelay(error) {
  if (error.name !== "Refused" || (error.status !== 429 && error.status !== 503)) return false;
  return error.retryAfter > 0 && error.retryAfter <= MAX_RETRY_AFTER_S;
}

/** The body of a response that is not a refusal. */
function outcome({ status, json, headers }) {
  const requestId = header(headers, "x-request-id");
  if (!json || typeof json !== "object") {
    // An error page of a proxy, or the login page of a captive portal.
    throw new Unreachable("not a response of QLive (HTTP " + status + ")", status, requestId);
  }
  // Endpoints with an outcome field in the response send a refusal with HTTP 200.
  if (status === 200 && json.status !== "failed" && json.success !== "failed") return json;
  throw new Refused({
    status,
    code: json.code || "refused",
    detail: json.detail || "HTTP " + status,
    fields: json.fields,
    retryAfter: Number(header(headers, "retry-after")) || 0,
    requestId,
  });
}

function header(headers, lowerName) {
  const name = Object.keys(headers || {}).find((key) => key.toLowerCase() === lowerName);
  return name ? String(headers[name]) : "";
}
