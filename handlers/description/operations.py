"""One call as OpenAPI writes it: what it is sent, what it answers, who may call."""

from typing import Any

from handlers import payments
from handlers.admission import SignedIn
from handlers.description import refusals
from handlers.description.callbacks import REPORTS, Report
from handlers.description.calls import Call
from handlers.description.examples import example
from handlers.description.refusals import Refusals
from handlers.description.schemas import Json, Schemas
from handlers.health import MetricsPage, Readyz
from handlers.ops.base import Operator
from handlers.socket import RoomSocket
from handlers.users import Logout

TOKEN, BEARER = "QLiveToken", "operator"
JSON, FORM, TEXT = "application/json", "application/x-www-form-urlencoded", "text/plain"
FORMLESS: Json = {"type": "string"}

TAGS = {
    "users": "people",
    "likes": "people",
    "rooms": "rooms",
    "ranks": "rooms",
    "mic": "mic",
    "gifts": "gifts",
    "pay": "recharge",
    "configs": "configs",
    "socket": "socket",
    "callbacks": "callbacks",
    "payments": "callbacks",
    "health": "health",
}
"""By the module of a call; those of ops/ are the operators'."""

SOCKET_QUERY: dict[str, Json] = {
    "live_id": {"type": "integer", "minimum": 1},
    "epoch": {"type": "string", "description": "Of the last frame that was seen."},
    "since": {"type": "integer", "minimum": 0, "description": "`seq` of the same frame."},
}

NO_SOCKETS = """\
This speaks WebSocket, which "Try it out" cannot: it is answered with 400 there. What is said and
heard stands on [/docs/socket/](/docs/socket/).
"""


def operation(call: Call, schemas: Schemas, no: Refusals) -> Json:
    written: Json = {
        "operationId": call.name,
        "tags": [tag(call)],
        "summary": call.summary,
        "description": NO_SOCKETS if call.handler is RoomSocket else call.details,
        "parameters": [*_variables(call), *_query(call, schemas), *_of_report(call)],
        "responses": _answers(call, schemas) | no.of(call) | _unlike_others(call, schemas),
        "security": _security(call),
    }
    if body := _body(call, schemas):
        written["requestBody"] = body
    return {key: value for key, value in written.items() if value or key == "security"}


def tag(call: Call) -> str:
    return "operators" if call.module.startswith("ops.") else TAGS[call.module]


def _variables(call: Call) -> list[Json]:
    return [
        _shown({"name": name, "in": "path", "required": True}, {"type": "string", "pattern": of})
        for name, of in call.variables.items()
    ]


def _query(call: Call, schemas: Schemas) -> list[Json]:
    """GET sends its parameters in the query, where there is no null."""
    if call.handler is RoomSocket:
        return [_parameter(n, s, required=n == "live_id") for n, s in SOCKET_QUERY.items()]
    if call.method != "get" or call.asks is None:
        return []
    model = schemas.whole(schemas.of(call.asks, "validation"))
    required = model.get("required", ())
    return [
        _parameter(name, schema, required=name in required)
        for name, schema in model.get("properties", {}).items()
    ]


def _of_report(call: Call) -> list[Json]:
    report = REPORTS.get(call.name, Report())
    return [
        {"name": name, "in": where, "required": name not in report.sometimes, "schema": schema}
        for where, parameters in (("query", report.query), ("header", report.headers))
        for name, schema in parameters.items()
    ]


def _parameter(name: str, schema: Json, *, required: bool) -> Json:
    choices = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    said = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    if schema.get("default") not in (None, ""):
        said["default"] = schema["default"]
    plain = {**said, **(choices[0] if len(choices) == 1 else {})}
    return _shown({"name": name, "in": "query", "required": required}, plain)


def _shown(parameter: Json, schema: Json) -> Json:
    """With an example in both places: Swagger UI fills its form with that of the parameter."""
    found = example(parameter["name"], schema, required=parameter["required"])
    shown = {"example": found["examples"][0]} if found else {}
    return {**parameter, **shown, "schema": {**schema, **found}}


def _body(call: Call, schemas: Schemas) -> Json | None:
    if body := REPORTS.get(call.name, Report()).body:
        return {"content": {JSON: {"schema": body}}}
    if call.method == "get" or call.asks is None:
        return None
    schema = schemas.of(call.asks, "validation")
    model = schemas.whole(schema)
    told = {"schema": schema, "example": _example(model)}
    return {"required": bool(model.get("required")), "content": {JSON: told, FORM: told}}


def _example(model: Json) -> Json:
    """Of a whole body; without one Swagger UI makes up a value for every field."""
    required = model.get("required", ())
    found = {
        name: example(name, schema, required=name in required)
        for name, schema in model["properties"].items()
    }
    return {name: said["examples"][0] for name, said in found.items() if said}


def _answers(call: Call, schemas: Schemas) -> Json:
    unlike = {
        payments.Nothing: {"204": {"description": "Heard."}},
        payments.Echo: {"200": _content(TEXT, FORMLESS, "What was to be echoed.")},
    }
    if call.answers in unlike:
        return unlike[call.answers]
    if call.answers is None:
        return {}
    schema = schemas.of(call.answers, "serialization")
    if soft := refusals.soft(call.handler):
        schema = {"anyOf": [schema, *soft]}
    return {"200": _content(JSON, schema, "Done, or a refusal." if soft else "Done.")}


def _unlike_others(call: Call, schemas: Schemas) -> Json:
    """What three calls write in their own way."""
    if call.handler is MetricsPage:
        return {"200": _content(TEXT, FORMLESS, "Prometheus' text.")}
    if call.handler is RoomSocket:
        return {"101": {"description": "The socket is open: see /docs/socket/."}}
    if call.handler is Readyz:
        return {"503": _content(JSON, schemas.of(call.answers, "serialization"), "Not ready.")}
    return {}


def _content(kind: str, schema: Json, description: str) -> Json:
    return {"description": description, "content": {kind: {"schema": schema}}}


def _security(call: Call) -> list[Json]:
    if _is_for(call, Operator):
        return [{BEARER: []}]
    if _is_for(call, RoomSocket):  # the first frame may bring it
        return [{TOKEN: []}, {}]
    return [{TOKEN: []}] if _is_for(call, SignedIn, Logout) else []


def _is_for(call: Call, *classes: type[Any]) -> bool:
    return issubclass(call.handler, classes)
