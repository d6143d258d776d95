"""OpenAPI operation of one endpoint: parameters, body, responses and security."""

from typing import Any, NoReturn

from config.sections import LimitsSettings
from handlers.auth import ActiveUserHandler
from handlers.health import ReadyzHandler
from handlers.limits import owner_of, rate_of
from handlers.openapi import errors
from handlers.openapi.endpoints import Endpoint
from handlers.openapi.errors import ErrorResponses
from handlers.openapi.examples import example
from handlers.openapi.schemas import Json, SchemaRegistry
from handlers.openapi.webhooks import WEBHOOKS, WebhookSchema
from handlers.ops.base import OperatorHandler
from handlers.schemas.responses import NoContentResponse, TextResponse
from handlers.users import LogoutHandler
from handlers.websocket.handshake import RoomSocketHandler
from services.roles import Access, roles_with

TOKEN, BEARER = "QLiveToken", "operator"
JSON, FORM = "application/json", "application/x-www-form-urlencoded"

TAG_BY_MODULE = {
    "users": "people",
    "likes": "people",
    "rooms": "rooms",
    "rankings": "rooms",
    "mic": "mic",
    "gifts": "gifts",
    "pay": "recharge",
    "withdrawals": "withdrawals",
    "configs": "configs",
    "socket": "socket",
    "callbacks": "callbacks",
    "payments": "callbacks",
    "health": "health",
    "ops.login": "login",
}
"""Tag by the module part of a route's name; others under `ops.` are tagged `operators`."""

SOCKET_QUERY: dict[str, Json] = {
    "live_id": {"type": "integer", "minimum": 1},
    "epoch": {"type": "string", "description": "`epoch` of the last frame received."},
    "since": {"type": "integer", "minimum": 0, "description": "`seq` of the same frame."},
}

WEBSOCKET_NOTE = """\
This endpoint accepts WebSocket handshakes only. "Try it out" cannot send one and receives 400. The
frames are documented on [/docs/socket/](/docs/socket/).
"""


def operation(endpoint: Endpoint, schemas: SchemaRegistry, error_responses: ErrorResponses) -> Json:
    result: Json = {
        "operationId": endpoint.name,
        "tags": [tag(endpoint)],
        "summary": endpoint.summary,
        "description": _description(endpoint),
        "parameters": [
            *_variables(endpoint),
            *_query(endpoint, schemas),
            *_webhook_parameters(endpoint),
        ],
        "responses": _success_responses(endpoint, schemas)
        | error_responses.of(errors.errors_of(endpoint))
        | _not_ready(endpoint, schemas),
        "security": _security(endpoint),
    }
    if body := _body(endpoint, schemas):
        result["requestBody"] = body
    return {key: value for key, value in result.items() if value or key == "security"}


def tag(endpoint: Endpoint) -> str:
    if endpoint.module.startswith("ops.") and endpoint.module not in TAG_BY_MODULE:
        return "operators"
    return TAG_BY_MODULE[endpoint.module]


def _description(endpoint: Endpoint) -> str:
    if endpoint.handler is RoomSocketHandler:
        return WEBSOCKET_NOTE
    if endpoint.access:
        return "\n\n".join(filter(None, (endpoint.details, _roles(endpoint.access))))
    if (name := endpoint.call.limit) is None:
        return endpoint.details
    rate, owner = rate_of(LimitsSettings(), name), owner_of(name)
    limit = (
        f"Rate limit `{name}`: by default {rate.per_second:g} a second of "
        f"{'an address' if owner == 'address' else 'a user'}, and {rate.burst} at once."
    )
    return "\n\n".join(filter(None, (endpoint.details, limit)))


def _roles(access: Access) -> str:
    names = ", ".join(f"`{role}`" for role in roles_with(access))
    return (
        f"Roles: {names}, and the token of a machine."
        if access == "machine"
        else f"Roles: {names}."
    )


def _variables(endpoint: Endpoint) -> list[Json]:
    return [
        _with_example(
            {"name": name, "in": "path", "required": True}, {"type": "string", "pattern": pattern}
        )
        for name, pattern in endpoint.variables.items()
    ]


def _query(endpoint: Endpoint, schemas: SchemaRegistry) -> list[Json]:
    """Parameters of a GET request, without null, which a query string cannot express."""
    if endpoint.handler is RoomSocketHandler:
        return [_parameter(n, s, required=n == "live_id") for n, s in SOCKET_QUERY.items()]
    if endpoint.method != "get" or endpoint.call.request is None:
        return []
    model = schemas.whole(schemas.of(endpoint.call.request, "validation"))
    required = model.get("required", ())
    return [
        _parameter(name, schema, required=name in required)
        for name, schema in model.get("properties", {}).items()
    ]


def _webhook_parameters(endpoint: Endpoint) -> list[Json]:
    webhook = WEBHOOKS.get(endpoint.name, WebhookSchema())
    return [
        {"name": name, "in": where, "required": name not in webhook.sometimes, "schema": schema}
        for where, parameters in (("query", webhook.query), ("header", webhook.headers))
        for name, schema in parameters.items()
    ]


def _parameter(name: str, schema: Json, *, required: bool) -> Json:
    choices = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    keywords = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    if schema.get("default") not in (None, ""):
        keywords["default"] = schema["default"]
    plain = {**keywords, **(choices[0] if len(choices) == 1 else {})}
    return _with_example({"name": name, "in": "query", "required": required}, plain)


def _with_example(parameter: Json, schema: Json) -> Json:
    """Adds the example to parameter and schema: Swagger UI fills its form from the parameter's."""
    found = example(parameter["name"], schema, required=parameter["required"])
    in_parameter = {"example": found["examples"][0]} if found else {}
    return {**parameter, **in_parameter, "schema": {**schema, **found}}


def _body(endpoint: Endpoint, schemas: SchemaRegistry) -> Json | None:
    if body := WEBHOOKS.get(endpoint.name, WebhookSchema()).body:
        return {"content": {JSON: {"schema": body}}}
    if endpoint.method == "get" or endpoint.call.request is None:
        return None
    schema = schemas.of(endpoint.call.request, "validation")
    model = schemas.whole(schema)
    media = {"schema": schema, "example": _example(model)}
    return {
        "required": bool(model.get("required")),
        "content": {JSON: media, FORM: media},
    }


def _example(model: Json) -> Json:
    """Example of a whole body; without one Swagger UI invents a value for every field."""
    required = model.get("required", ())
    found = {
        name: example(name, schema, required=name in required)
        for name, schema in model["properties"].items()
    }
    return {name: keyword["examples"][0] for name, keyword in found.items() if keyword}


def _success_responses(endpoint: Endpoint, schemas: SchemaRegistry) -> Json:
    model, accepted = endpoint.call.response, endpoint.call.accepted
    if model is NoReturn:
        return {"101": {"description": "The socket is open; its frames are on /docs/socket/."}}
    if model is NoContentResponse:
        return {"204": {"description": "Accepted."}}
    if is_text(model):
        kind = model.media_type.partition(";")[0]
        return {"200": _content(kind, {"type": "string"}, model.__doc__)}
    schema = schemas.of(model, "serialization")
    if soft := errors.soft(endpoint):
        schema = {"anyOf": [schema, *soft]}
    done = "Done, or one of the errors that are answered with 200." if soft else "Done."
    responses = {"200": _content(JSON, schema, done)}
    if accepted:
        schema = schemas.of(accepted, "serialization")
        responses["202"] = _content(JSON, schema, "Waits for another operator's decision.")
    return responses


def _not_ready(endpoint: Endpoint, schemas: SchemaRegistry) -> Json:
    """The same body with another status: a load balancer reads nothing else."""
    if endpoint.handler is not ReadyzHandler:
        return {}
    schema = schemas.of(endpoint.call.response, "serialization")
    return {"503": _content(JSON, schema, "Not ready.")}


def is_text(model: Any) -> bool:
    """Whether the body of the response is not JSON."""
    return isinstance(model, type) and issubclass(model, TextResponse)


def _content(kind: str, schema: Json, description: str) -> Json:
    return {"description": description, "content": {kind: {"schema": schema}}}


def _security(endpoint: Endpoint) -> list[Json]:
    if _is_handled_by(endpoint, OperatorHandler):
        return [{BEARER: []}]
    if _is_handled_by(endpoint, RoomSocketHandler):  # the token may come in the first frame
        return [{TOKEN: []}, {}]
    return [{TOKEN: []}] if _is_handled_by(endpoint, ActiveUserHandler, LogoutHandler) else []


def _is_handled_by(endpoint: Endpoint, *classes: type[Any]) -> bool:
    return issubclass(endpoint.handler, classes)
