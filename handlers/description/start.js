// Shows the description. What answers have told is used for the calls after them: a token, and
// whatever stands in an example only because nobody can know it beforehand (EXAMPLES, by name).
const LISTS = {
  "/wx/api/qlive/get_livelist/": "live_id",
  "/ops/api/users": "user_id",
  "/ops/api/rooms": "live_id",
  "/ops/api/ledger": "entry",
  "/ops/api/inbox": "id",
}; // what the `id` of the first in them is
const seen = {};
let me;

function learn(name, value) {
  if (name in EXAMPLES && name !== "id" && value && value !== me) seen[name] = value;
}

function listen({ ok, url, body }) {
  if (!ok || !body || typeof body !== "object" || "detail" in body) return; // no news in those
  if (body.token) becomes(body);
  for (const [name, value] of Object.entries(body)) learn(name, value);
  const rows = Array.isArray(body) ? body : (body.items ?? []);
  const guests = rows.filter((row) => row.role !== "host"); // who can be put out, say
  for (const face of [...guests, body.female, body.male, body.owner]) {
    learn("user_id", face?.user_id);
  }
  const list = LISTS[new URL(url).pathname];
  const first = rows.find((row) => row.id !== me);
  if (list && first) seen[list] = first.id;
}

function becomes({ token, user_id }) {
  const before = me;
  me = user_id;
  learn("user_id", before);
  page.preauthorizeApiKey("QLiveToken", `QLiveToken ${token}`);
}

function filled(name, value) {
  return name in seen && String(value) === String(EXAMPLES[name]) ? seen[name] : value;
}

function fillAddress(text) {
  const address = new URL(text, location);
  for (const [name, value] of [...address.searchParams]) {
    address.searchParams.set(name, filled(name, value));
  }
  const parts = address.pathname.split("/");
  const after = { users: "user_id", rooms: "live_id" };
  address.pathname = parts.map((part, i) => filled(after[parts[i - 1]], part)).join("/");
  return address.href;
}

function fillBody(text) {
  try {
    const fields = Object.entries(JSON.parse(text));
    return JSON.stringify(Object.fromEntries(fields.map(([n, v]) => [n, filled(n, v)])));
  } catch {
    return text; // a form, or a mistake to be shown
  }
}

const page = SwaggerUIBundle({
  url: "/docs/openapi.json",
  dom_id: "#page",
  deepLinking: true,
  docExpansion: "list",
  filter: true,
  validatorUrl: null, // the default would ask a host that is not ours
  requestInterceptor: (request) => {
    if (request.loadSpec) return request;
    request.url = fillAddress(request.url);
    if (typeof request.body === "string") request.body = fillBody(request.body);
    return request;
  },
  responseInterceptor: (response) => {
    listen(response);
    return response;
  },
});
