"""OpenAPI operation of one endpoint: parameters, body, responses and security."""

from typing import Any, NoReturn, get_args

from handlers.accounts.sign_in import LogoutHandler
from handlers.base import ActiveUserHandler
from handlers.limits import MAX_LOGINS, UserLimit, rate_of
from handlers.models import NoContentResponse, TextResponse
from handlers.openapi import errors
from handlers.openapi.endpoints import Endpoint
from handlers.openapi.errors import ErrorResponses
from handlers.openapi.examples import example
from handlers.openapi.schemas import Json, SchemaRegistry
from handlers.operator_base import OperatorHandler
from handlers.websocket.handshake import RoomSocketHandler
from services.operators.roles import INCLUDED, ROLES, Access

TOKEN, BEARER = "QLiveToken", "operator"
JSON, FORM = "application/json", "application/x-www-form-urlencoded"

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
        "parameters": [*_variables(endpoint), *_query(endpoint, schemas)],
        "responses": error_responses.of(errors.errors_of(endpoint))
        | _success_responses(endpoint, schemas),
        "security": _security(endpoint),
    }
    if body := _body(endpoint, schemas):
        result["requestBody"] = body
    return {key: value for key, value in result.items() if value or key == "security"}


def tag(endpoint: Endpoint) -> str:
    """Return the first part of the route's name, except in the operators' API."""
    if endpoint.module == "ops.login":
        return "login"
    return "operators" if endpoint.module.startswith("ops.") else endpoint.module


def _description(endpoint: Endpoint) -> str:
    if endpoint.handler is RoomSocketHandler:
        return WEBSOCKET_NOTE
    if endpoint.access:
        return "\n\n".join(filter(None, (endpoint.details, _roles(endpoint.access))))
    if (name := endpoint.call.limit) is None:
        return endpoint.details
    owner = "a user" if name in get_args(UserLimit) else "an address"
    most = f"{MAX_LOGINS} in progress"
    if name != "login":
        rate = rate_of(name)
        most = f"{rate.per_second:g} a second, and {rate.burst} at once"
    limit = f"Limit `{name}` of {owner}: by default {most}."
    return "\n\n".join(filter(None, (endpoint.details, limit)))


def _roles(access: Access) -> str:
    names = ", ".join(f"`{role}`" for role in ROLES if access in INCLUDED[role])
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
    """Return the parameters of a GET request.

    They are without null, which a query string cannot express.
    """
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


def _parameter(name: str, schema: Json, *, required: bool) -> Json:
    choices = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    keywords = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    if schema.get("default") not in (None, ""):
        keywords["default"] = schema["default"]
    plain = {**keywords, **(choices[0] if len(choices) == 1 else {})}
    return _with_example({"name": name, "in": "query", "required": required}, plain)


def _with_example(parameter: Json, schema: Json) -> Json:
    """Add the example to parameter and schema.

    Swagger UI fills its form from the parameter's.
    """
    found = example(parameter["name"], schema, required=parameter["required"])
    in_parameter = {"example": found["examples"][0]} if found else {}
    return {**parameter, **in_parameter, "schema": {**schema, **found}}


def _body(endpoint: Endpoint, schemas: SchemaRegistry) -> Json | None:
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
    """Return an example of a whole body.

    Without one Swagger UI invents a value for every field.
    """
    required = model.get("required", ())
    found = {
        name: example(name, schema, required=name in required)
        for name, schema in model["properties"].items()
    }
    return {name: keyword["examples"][0] for name, keyword in found.items() if keyword}


def _success_responses(endpoint: Endpoint, schemas: SchemaRegistry) -> Json:
    model = endpoint.call.response
    if model is NoReturn:
        return {"101": {"description": "The socket is open; its frames are on /docs/socket/."}}
    if model is NoContentResponse:
        return {"204": {"description": "Accepted."}}
    if isinstance(model, type) and issubclass(model, TextResponse):
        kind = model.media_type.partition(";")[0]
        return {"200": _content(kind, {"type": "string"}, model.__doc__ or "")}
    schema_by_status = {
        status: schemas.of(model, "serialization") for status, model in endpoint.responses.items()
    }
    about = {200: "Done.", 202: "Waits for another operator's decision.", 503: "Not ready."}
    if soft := errors.soft(endpoint):
        schema_by_status[200] = {"anyOf": [schema_by_status[200], *soft]}
        about[200] = "Done, or one of the errors that are answered with 200."
    return {
        str(status): _content(JSON, schema, about[status])
        for status, schema in schema_by_status.items()
    }


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
