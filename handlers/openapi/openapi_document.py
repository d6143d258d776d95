"""OpenAPI document of every endpoint, generated from the routes and their models."""

import re
from collections.abc import Iterable
from typing import NoReturn, get_args

from core.version import VERSION
from handlers.accounts.sign_in import LogoutHandler
from handlers.base import ActiveUserHandler, Route
from handlers.limits import MAX_LOGINS, UserLimit, rate_of
from handlers.models import ErrorResponse, NoContentResponse, TextResponse
from handlers.openapi.endpoints import Endpoint, endpoints, error_responses, soft_errors
from handlers.openapi.schemas import Json, SchemaRegistry, example
from handlers.openapi.webhooks import BODIES, webhooks
from handlers.operator_base import OperatorHandler
from handlers.websocket.handshake import RoomSocketHandler
from services.operators.roles import INCLUDED, ROLES

TOKEN, BEARER = "QLiveToken", "operator"
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
ABOUT = """\
Parameters are read from the query string and from a JSON or form body; the body takes precedence.
Numbers may be sent as strings, unknown parameters are ignored, and outside the operators' API an
empty string counts as not sent. Every path works with and without its trailing slash. Error
responses are `{"detail", "code"}`: `detail` is a sentence for users, `code` is stable and meant for
programs.

The frames of the WebSocket are documented on [/docs/socket/](/docs/socket/).
"""
TAGS = {
    "users": "Accounts, login and logout, likes, follows, matches.",
    "rooms": "Open, enter, leave and end rooms; their members and rankings.",
    "mic": "Seats on mic: apply, invite, accept, refuse, leave.",
    "gifts": "List gifts and give them.",
    "pay": "List the blocks of gold for sale and order one.",
    "withdrawals": "Pay out income to the user's WeChat balance.",
    "configs": "Configuration of the mini-program.",
    "socket": "WebSocket with the events of a room in real time.",
    "callbacks": "Callbacks, whose requests Tencent and WeChat document; those without their "
    "signature are refused.",
    "login": "Login of operators.",
    "operators": "The operators' API; every change is written to the audit log.",
    "health": "For load balancers and Prometheus.",
    "simulator": "Simulated WeChat and Tencent, in development only.",
}
SCHEMES = {
    TOKEN: {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`QLiveToken <40 hex>`",
    },
    BEARER: {
        "type": "http",
        "scheme": "bearer",
        "description": "The `token` of `POST /ops/api/login`; of a machine, `ops.token`.",
    },
}
SOCKET_QUERY: dict[str, Json] = {
    "live_id": {"type": "integer", "minimum": 1, "description": "Without: the user channel."},
    "epoch": {"type": "string", "description": "`epoch` of the last frame received."},
    "since": {"type": "integer", "minimum": 0, "description": "`seq` of the same frame."},
    "own": {"type": "integer", "enum": [1], "description": "Also the user channel."},
    "own_epoch": {"type": "string", "description": "`epoch` of its last frame."},
    "own_since": {"type": "integer", "minimum": 0, "description": "`seq` of the same frame."},
}
WEBSOCKET_NOTE = """\
This endpoint accepts WebSocket handshakes only. "Try it out" cannot send one and receives 400. The
frames are documented on [/docs/socket/](/docs/socket/).
"""


def document(routes: Iterable[Route], intro: str) -> Json:
    """Return the OpenAPI 3.1 document of the routes; `intro` is the end of its description."""
    found = list(endpoints(routes))
    schemas = SchemaRegistry(
        [end.call.request for end in found if end.call.request and end.method != "get"],
        [
            *(ErrorResponse, *BODIES.values()),
            *(model for endpoint in found for model in endpoint.responses.values()),
        ],
    )
    responses: dict[str, Json] = {}
    paths: dict[str, Json] = {}
    for endpoint in found:
        entry = _operation(endpoint, schemas, responses)
        paths.setdefault(endpoint.path, {})[endpoint.method] = entry
    used = {tag for path in paths.values() for call in path.values() for tag in call["tags"]}
    return {
        "openapi": "3.1.1",
        "info": {"title": "QLive", "version": VERSION, "description": ABOUT + intro},
        "servers": [{"url": "/"}],
        "tags": [{"name": n, "description": d} for n, d in TAGS.items() if n in used],
        "paths": paths,
        "webhooks": webhooks(schemas),
        "components": {
            "schemas": schemas.components,
            "responses": responses,
            "securitySchemes": SCHEMES,
        },
    }


def _operation(endpoint: Endpoint, schemas: SchemaRegistry, responses: dict[str, Json]) -> Json:
    """Describe one endpoint; its error responses are added to `responses`."""
    tag = endpoint.route.name.rpartition(".")[0]
    if tag.startswith("ops."):
        tag = "login" if tag == "ops.login" else "operators"
    summary, details = endpoint.documentation()
    variables = [
        _parameter(name, _variable(pattern), "path", required=True)
        for name, pattern in endpoint.variables.items()
    ]
    security: list[Json] = []
    if issubclass(endpoint.handler, OperatorHandler):
        security = [{BEARER: []}]
    elif endpoint.handler is RoomSocketHandler:  # the token may come in the first frame
        security = [{TOKEN: []}, {}]
    elif issubclass(endpoint.handler, ActiveUserHandler | LogoutHandler):
        security = [{TOKEN: []}]
    result: Json = {
        "operationId": endpoint.name,
        "tags": [tag],
        "summary": summary,
        "description": _description(endpoint, details),
        "parameters": [*variables, *_query(endpoint)],
        "responses": error_responses(endpoint, schemas, responses)
        | _success_responses(endpoint, schemas),
        "security": security,
        "requestBody": _body(endpoint, schemas),
    }
    return {key: value for key, value in result.items() if value or key == "security"}


def _description(endpoint: Endpoint, details: str) -> str:
    if endpoint.handler is RoomSocketHandler:
        return WEBSOCKET_NOTE
    note = ""
    if access := endpoint.access:
        names = ", ".join(f"`{role}`" for role in ROLES if access in INCLUDED[role])
        machine = ", and the token of a machine" if access == "machine" else ""
        note = f"Roles: {names}{machine}."
    elif name := endpoint.call.limit:
        owner = "a user" if name in get_args(UserLimit) else "an address"
        most = f"{MAX_LOGINS} in progress"
        if name != "login":
            rate = rate_of(name)
            most = f"{rate.per_second:g} a second, and {rate.burst} at once"
        note = f"Limit `{name}` of {owner}: by default {most}."
    return "\n\n".join(filter(None, (details, note)))


def _variable(pattern: str) -> Json:
    """Return the schema of a variable of a path by its pattern, as an integer where it is one."""
    if most_digits := re.fullmatch(r"\^\[0-9\]\{1,(\d+)\}\$", pattern):
        return {"type": "integer", "minimum": 0, "maximum": 10 ** int(most_digits[1]) - 1}
    return {"type": "string", "pattern": pattern}


def _query(endpoint: Endpoint) -> list[Json]:
    """Return the query parameters, of a GET request only; null cannot be expressed in them."""
    if endpoint.handler is RoomSocketHandler:
        return [_parameter(n, s, "query", required=False) for n, s in SOCKET_QUERY.items()]
    if endpoint.method != "get" or endpoint.call.request is None:
        return []
    own = SchemaRegistry([endpoint.call.request], [])  # its model is shown as parameters only
    model = own.whole(own.of(endpoint.call.request, "validation"))
    found = []
    for name, schema in model.get("properties", {}).items():
        choices = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
        plain = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
        if schema.get("default") not in (None, ""):
            plain["default"] = schema["default"]
        if len(choices) == 1:
            plain |= choices[0]
        found.append(_parameter(name, plain, "query", required=name in model.get("required", ())))
    return found


def _parameter(name: str, schema: Json, place: str, *, required: bool) -> Json:
    """Describe a parameter; Swagger UI fills its form with the example beside the schema."""
    examples = example(name, schema, required=required)
    parameter: Json = {"name": name, "in": place, "required": required}
    if examples:
        parameter["example"] = examples["examples"][0]
    return {**parameter, "schema": {**schema, **examples}}


def _body(endpoint: Endpoint, schemas: SchemaRegistry) -> Json | None:
    """Describe the body, with an example: without one Swagger UI invents values for all fields."""
    if endpoint.method == "get" or endpoint.call.request is None:
        return None
    schema = schemas.of(endpoint.call.request, "validation")
    model = schemas.whole(schema)
    required = model.get("required", ())
    values = {}
    for name, field in model["properties"].items():
        if found := example(name, field, required=name in required):
            values[name] = found["examples"][0]
    media = {"schema": schema, "example": values}
    return {"required": bool(required), "content": {JSON: media, FORM: media}}


def _success_responses(endpoint: Endpoint, schemas: SchemaRegistry) -> Json:
    model = endpoint.call.response
    if model is NoReturn:
        return {"101": {"description": "The socket is open; its frames are on /docs/socket/."}}
    if model is NoContentResponse:
        return {"204": {"description": "Accepted."}}
    if isinstance(model, type) and issubclass(model, TextResponse):
        content = {model.media_type.partition(";")[0]: {"schema": {"type": "string"}}}
        return {"200": {"description": model.__doc__ or "", "content": content}}
    schema_by_status = {
        status: schemas.of(model, "serialization") for status, model in endpoint.responses.items()
    }
    about = {200: "Done.", 202: "Waits for another operator's decision.", 503: "Not ready."}
    if soft := soft_errors(endpoint):
        schema_by_status[200] = {"anyOf": [schema_by_status[200], *soft]}
        about[200] = "Done, or one of the errors that are answered with 200."
    return {
        str(status): {"description": about[status], "content": {JSON: {"schema": schema}}}
        for status, schema in schema_by_status.items()
    }
