// One call over HTTP: what is sent, and what an answer means.

import { CALLS } from "./calls.js";
import { Refused, Unreachable } from "./errors.js";

export class Http {
  constructor(platform, base, session) {
    this._platform = platform;
    this._base = base;
    this._session = session;
  }

  /** The answer of a call, by its name in CALLS. Refused or Unreachable. */
  async call(name, params) {
    const [method, path] = CALLS[name];
    const token = this._session.token;
    const reply = await this._request(method, path, params || {}, token);
    const { status, json } = reply;
    if (!json || typeof json !== "object") {
      // A proxy's page, or somebody else's network that wants its own login.
      throw new Unreachable("an answer that is not ours (HTTP " + status + ")", status);
    }
    // Where the contract has a field for the outcome, a refusal comes with 200.
    if (status === 200 && json.status !== "failed" && json.success !== "failed") return json;
    const refused = refusal(reply);
    // A wrong WeChat code is no news of the token that is there.
    if (status === 401 && refused.code !== "wechat_code") this._session.refused(token, refused);
    throw refused;
  }

  async _request(method, path, params, token) {
    const url = this._base + "/" + path;
    const headers = { Accept: "application/json" };
    if (token) headers.Authorization = "QLiveToken " + token;
    const asked = { method, headers, url: method === "GET" ? url + query(params) : url };
    if (method === "POST") {
      headers["Content-Type"] = "application/json";
      asked.data = params;
    }
    try {
      return await this._platform.request(asked);
    } catch (error) {
      throw new Unreachable((error && error.message) || "the network does not answer");
    }
  }
}

/** `?a=1&b=2`, without what is not set; mini-programs have no URLSearchParams. */
export function query(params) {
  const pairs = Object.keys(params)
    .filter((name) => params[name] !== undefined && params[name] !== null)
    .map((name) => encodeURIComponent(name) + "=" + encodeURIComponent(params[name]));
  return pairs.length ? "?" + pairs.join("&") : "";
}

function refusal({ status, json, headers }) {
  const given = headers || {};
  const name = Object.keys(given).find((header) => header.toLowerCase() === "retry-after");
  return new Refused({
    status,
    code: json.code || "refused",
    detail: json.detail || "HTTP " + status,
    fields: json.fields,
    retryAfter: name ? Number(given[name]) || 0 : 0,
  });
}
