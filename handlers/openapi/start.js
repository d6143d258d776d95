// Shows the OpenAPI document in Swagger UI. Values from responses are used in later requests: the
// token, and the values that replace the placeholder examples (EXAMPLES, by parameter name).
const LISTS = {
  "/wx/api/qlive/get_livelist/": "live_id",
  "/ops/api/users": "user_id",
  "/ops/api/rooms": "live_id",
  "/ops/api/ledger": "entry",
  "/ops/api/inbox": "id",
  "/ops/api/approvals": "approval_id",
  "/ops/api/refunds": "case_id",
  "/ops/api/moderation": "item_id",
}; // list endpoint -> the parameter that the `id` of its first item fills
const latest = {}; // newest value by parameter name
let me; // user_id of the current token

function store(name, value) {
  if (name in EXAMPLES && name !== "id" && value && value !== me) latest[name] = value;
}

function readResponse({ ok, url, body }) {
  if (!ok || !body || typeof body !== "object" || "detail" in body) return; // an error or a plain OK
  if (body.token && "may" in body) {
    page.preauthorizeApiKey("operator", body.token);
    return;
  }
  if (body.token) useToken(body);
  for (const [name, value] of Object.entries(body)) store(name, value);
  store("package", body.package_info);
  const rows = Array.isArray(body) ? body : (body.items ?? []);
  const guests = rows.filter((row) => row.role !== "host"); // a host cannot be removed
  for (const face of [...guests, body.female, body.male, body.owner]) {
    store("user_id", face?.user_id);
  }
  const list = LISTS[new URL(url).pathname];
  const first = rows.find((row) => row.id !== me);
  if (list && first) latest[list] = first.id;
}

function useToken({ token, user_id }) {
  const previous = me;
  me = user_id;
  store("user_id", previous);
  page.preauthorizeApiKey("QLiveToken", `QLiveToken ${token}`);
}

function fillValue(name, value) {
  return name in latest && String(value) === String(EXAMPLES[name]) ? latest[name] : value;
}

function fillAddress(text) {
  const address = new URL(text, location);
  for (const [name, value] of [...address.searchParams]) {
    address.searchParams.set(name, fillValue(name, value));
  }
  const parts = address.pathname.split("/");
  const names = { users: "user_id", rooms: "live_id", approvals: "approval_id", refunds: "case_id", moderation: "item_id" }; // path segment -> parameter after it
  address.pathname = parts.map((part, i) => fillValue(names[parts[i - 1]], part)).join("/");
  return address.href;
}

function fillBody(text) {
  try {
    const fields = Object.entries(JSON.parse(text));
    return JSON.stringify(Object.fromEntries(fields.map(([n, v]) => [n, fillValue(n, v)])));
  } catch {
    return text; // a form, or invalid JSON that the server rejects
  }
}

const page = SwaggerUIBundle({
  url: "/docs/openapi.json",
  dom_id: "#page",
  deepLinking: true,
  docExpansion: "list",
  filter: true,
  validatorUrl: null, // the default sends the document to another host
  requestInterceptor: (request) => {
    if (request.loadSpec) return request;
    request.url = fillAddress(request.url);
    if (typeof request.body === "string") request.body = fillBody(request.body);
    return request;
  },
  responseInterceptor: (response) => {
    readResponse(response);
    return response;
  },
});
