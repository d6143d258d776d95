// HTTP requests to the API and their errors.

import { CALLS } from "./calls.js";
import { Refused, Unreachable } from "./errors.js";

const RETRIES = 2;
const MAX_RETRY_AFTER_S = 5; // a user waits so long; a longer delay is left to the page
const JITTER_MS = 500; // clients that were refused together do not return together

// Not to be repeated after a refusal that says when to try again: a WeChat code works once, each
// order is a new one, and gifts.js has its own retries.
const NOT_REPEATABLE = ["createUser", "login", "pay", "pushGift"];

export class Http {
  constructor(platform, base, session) {
    this._platform = platform;
    this._base = base;
    this._session = session;
  }

  /**
   * Response of an endpoint, by its name in CALLS; throws Refused or Unreachable.
   *
   * A repeatable call that is refused for a few seconds (429 and 503 with Retry-After) is sent again
   * after that time.
   */
  async call(name, params) {
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
    const [method, path] = CALLS[name];
    const token = this._session.token;
    const reply = await this._request(method, path, params || {}, token);
    const { status, json } = reply;
    if (!json || typeof json !== "object") {
      // An error page of a proxy, or the login page of a captive portal.
      throw new Unreachable("not a response of QLive (HTTP " + status + ")", status);
    }
    // Endpoints with an outcome field in the response send a refusal with HTTP 200.
    if (status === 200 && json.status !== "failed" && json.success !== "failed") return json;
    const error = refusal(reply);
    // A wrong WeChat code says nothing about the current token.
    if (status === 401 && error.code !== "wechat_code") this._session.tokenRefused(token, error);
    throw error;
  }

  async _request(method, path, params, token) {
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

function refusal({ status, json, headers }) {
  const allHeaders = headers || {};
  const name = Object.keys(allHeaders).find((header) => header.toLowerCase() === "retry-after");
  return new Refused({
    status,
    code: json.code || "refused",
    detail: json.detail || "HTTP " + status,
    fields: json.fields,
    retryAfter: name ? Number(allHeaders[name]) || 0 : 0,
  });
}
