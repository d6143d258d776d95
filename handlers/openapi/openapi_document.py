"""OpenAPI document of every endpoint, generated from the routes and their models."""

from collections.abc import Iterable

from openapi_pydantic import OpenAPI

from core.version import VERSION
from handlers.base import Route
from handlers.openapi import errors
from handlers.openapi.endpoints import Endpoint, endpoints
from handlers.openapi.extension import Extension, ExtraEndpoint
from handlers.openapi.operations import BEARER, JSON, TOKEN, operation
from handlers.openapi.schemas import Json, SchemaRegistry
from services.roles import ROLES, roles_with

ABOUT = """\
Parameters are read from the query string and from a JSON or form body; the body takes precedence.
Numbers may be sent as strings, unknown parameters are ignored, and outside the operators' API an
empty string counts as not sent. Every path works with and without its trailing slash. Error
responses are `{"detail", "code"}`: `detail` is a sentence for users, `code` is stable and meant for
programs.

The frames of the WebSocket are documented on [/docs/socket/](/docs/socket/).
"""
TAGS = {
    "people": "Accounts, login and logout, likes.",
    "rooms": "Open, enter, leave and end rooms; their members and rankings.",
    "mic": "Seats on mic: apply, invite, accept, refuse, leave.",
    "gifts": "List gifts and give them.",
    "recharge": "List the blocks of gold for sale and order one.",
    "withdrawals": "Pay out income to the user's WeChat balance.",
    "configs": "Configuration of the mini-program.",
    "socket": "WebSocket with the events of a room in real time.",
    "callbacks": "Webhooks of Tencent and WeChat; requests without their signature are refused.",
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


def document(routes: Iterable[Route], extension: Extension | None) -> OpenAPI:
    """OpenAPI 3.1 document of the routes and of the extension, if any."""
    found, extra = list(endpoints(routes)), extension.endpoints if extension else ()
    schemas, responses = _schemas(found, extension), errors.ErrorResponses()
    paths: dict[str, Json] = {}
    for endpoint in found:
        entry = operation(endpoint, schemas, responses)
        paths.setdefault(endpoint.path, {})[endpoint.method] = entry
    for added in extra:
        assert extension
        paths[added.path] = {"post": _extra(added, extension, schemas, responses)}
    name = errors.MODEL_NAME
    components = {**schemas.components, name: errors.envelope(schemas.components[name])}
    tags = TAGS | {"operators": f"{TAGS['operators']}\n\n{_role_matrix(found)}"}
    tags |= {extension.tag: extension.about} if extension else {}
    used = {tag for path in paths.values() for call in path.values() for tag in call["tags"]}
    return OpenAPI.model_validate(
        {
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
                "schemas": components,
                "responses": responses.components,
                "securitySchemes": SCHEMES,
            },
        }
    )


def text(document: OpenAPI) -> str:
    return document.model_dump_json(by_alias=True, exclude_unset=True, exclude_none=True, indent=1)


def _role_matrix(found: list[Endpoint]) -> str:
    """Markdown table of the operators' endpoints: which role may use which."""
    lines = [f"| operation | {' | '.join(ROLES)} |", f"|---|{'---|' * len(ROLES)}"]
    for endpoint in found:
        if endpoint.access:
            permitted = roles_with(endpoint.access)
            marks = " | ".join("yes" if role in permitted else "–" for role in ROLES)
            lines.append(f"| `{endpoint.method.upper()} {endpoint.path}` | {marks} |")
    return "\n".join(lines)


def _schemas(found: list[Endpoint], extension: Extension | None) -> SchemaRegistry:
    extra = extension.endpoints if extension else ()
    requests = [it.request_model for it in found if it.request_model] + [it.request for it in extra]
    responses = [it.response_model for it in found if it.response_model] + [
        it.response for it in extra
    ]
    responses += [it.accepted_model for it in found if it.accepted_model]
    error = [extension.error] if extension else []
    return SchemaRegistry(requests, [*responses, errors.MODEL, *error])


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
    unavailable = errors.example_of(extension.unavailable)
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
        | responses.responses([*errors.COMMON_ERRORS, unavailable]),
        "security": [],
    }
