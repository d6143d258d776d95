"""OpenAPI document of every endpoint, generated from the routes and their models."""

from collections.abc import Iterable

from core.version import VERSION
from handlers.base import Route
from handlers.models import ErrorResponse
from handlers.openapi import errors
from handlers.openapi.endpoints import endpoints
from handlers.openapi.operations import BEARER, TOKEN, operation
from handlers.openapi.schemas import Json, SchemaRegistry

ABOUT = """\
Parameters are read from the query string and from a JSON or form body; the body takes precedence.
Numbers may be sent as strings, unknown parameters are ignored, and outside the operators' API an
empty string counts as not sent. Every path works with and without its trailing slash. Error
responses are `{"detail", "code"}`: `detail` is a sentence for users, `code` is stable and meant for
programs.

The frames of the WebSocket are documented on [/docs/socket/](/docs/socket/).
"""
TAGS = {
    "users": "Accounts, login and logout, likes.",
    "rooms": "Open, enter, leave and end rooms; their members and rankings.",
    "mic": "Seats on mic: apply, invite, accept, refuse, leave.",
    "gifts": "List gifts and give them.",
    "pay": "List the blocks of gold for sale and order one.",
    "withdrawals": "Pay out income to the user's WeChat balance.",
    "configs": "Configuration of the mini-program.",
    "socket": "WebSocket with the events of a room in real time.",
    "callbacks": "Webhooks, whose requests Tencent and WeChat document; those without their "
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


def document(routes: Iterable[Route], intro: str) -> Json:
    """Return the OpenAPI 3.1 document of the routes; `intro` is the end of its description."""
    found = list(endpoints(routes))
    schemas = SchemaRegistry(
        [endpoint.call.request for endpoint in found if endpoint.call.request],
        [ErrorResponse, *(model for endpoint in found for model in endpoint.responses.values())],
    )
    responses = errors.ErrorResponses(schemas.of(ErrorResponse, "serialization"))
    paths: dict[str, Json] = {}
    for endpoint in found:
        entry = operation(endpoint, schemas, responses)
        paths.setdefault(endpoint.path, {})[endpoint.method] = entry
    used = {tag for path in paths.values() for call in path.values() for tag in call["tags"]}
    return {
        "openapi": "3.1.1",
        "info": {"title": "QLive", "version": VERSION, "description": ABOUT + intro},
        "servers": [{"url": "/"}],
        "tags": [{"name": n, "description": d} for n, d in TAGS.items() if n in used],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "responses": responses.components,
            "securitySchemes": SCHEMES,
        },
    }
