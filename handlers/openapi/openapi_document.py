"""OpenAPI document of every endpoint, generated from the routes and their models."""

from collections.abc import Iterable
from typing import Any

from core.version import VERSION
from handlers.base import Route
from handlers.openapi import errors
from handlers.openapi.endpoints import Endpoint, endpoints
from handlers.openapi.operations import BEARER, JSON, TOKEN, operation
from handlers.openapi.schemas import Json, SchemaRegistry
from handlers.pages import Extension, ExtraEndpoint
from handlers.schemas.responses import ErrorResponse

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
    "callbacks": "Webhooks of Tencent and WeChat, which document the requests; those without their "
    "signature are refused.",
    "login": "Login of operators.",
    "operators": "The operators' API; every change is written to the audit log.",
    "health": "For load balancers and Prometheus.",
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


def document(routes: Iterable[Route], extension: Extension | None) -> Json:
    """OpenAPI 3.1 document of the routes and of the extension, if any."""
    found, extra = list(endpoints(routes)), extension.endpoints if extension else ()
    schemas = _schemas(found, extension)
    responses = errors.ErrorResponses(schemas.of(ErrorResponse, "serialization"))
    paths: dict[str, Json] = {}
    for endpoint in found:
        entry = operation(endpoint, schemas, responses)
        paths.setdefault(endpoint.path, {})[endpoint.method] = entry
    for added in extra:
        assert extension
        paths[added.path] = {"post": _extra(added, extension, schemas, responses)}
    tags = TAGS | ({extension.tag: extension.about} if extension else {})
    used = {tag for path in paths.values() for call in path.values() for tag in call["tags"]}
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "QLive",
            "version": VERSION,
            "description": ABOUT + (extension.intro if extension else ""),
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": n, "description": d} for n, d in tags.items() if n in used],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "responses": responses.components,
            "securitySchemes": SCHEMES,
        },
    }


def _schemas(found: list[Endpoint], extension: Extension | None) -> SchemaRegistry:
    requests: list[Any] = [it.call.request for it in found if it.call.request]
    responses: list[Any] = [model for it in found for model in it.responses.values()]
    if extension:
        requests += [extra.request for extra in extension.endpoints]
        responses += [extension.error, *(extra.response for extra in extension.endpoints)]
    return SchemaRegistry(requests, [ErrorResponse, *responses])


def _extra(
    endpoint: ExtraEndpoint,
    extension: Extension,
    schemas: SchemaRegistry,
    responses: errors.ErrorResponses,
) -> Json:
    answers = {
        200: (endpoint.response, "Done."),
        400: (extension.error, "The simulator refused the request."),
    }
    body = {"schema": schemas.of(endpoint.request, "validation"), "example": endpoint.example}
    return {
        "operationId": endpoint.name,
        "tags": [extension.tag],
        "summary": endpoint.summary,
        "requestBody": {"required": True, "content": {JSON: body}},
        "responses": {
            str(status): {
                "description": about,
                "content": {JSON: {"schema": schemas.of(model, "serialization")}},
            }
            for status, (model, about) in answers.items()
        }
        | responses.of([*errors.COMMON_ERRORS, extension.unavailable]),
        "security": [],
    }
