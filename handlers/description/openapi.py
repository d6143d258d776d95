"""The OpenAPI document of every call, made of the routes and of the models of their methods."""

from collections.abc import Iterable

from openapi_pydantic import OpenAPI

from handlers.description import refusals, simulator
from handlers.description.calls import Call, Route, calls
from handlers.description.examples import FROM_ANSWERS
from handlers.description.operations import BEARER, JSON, TOKEN, operation
from handlers.description.schemas import Json, Schemas

VERSION = "0.1.0"

ABOUT = """\
Parameters are taken from the query string, a JSON body or a form body, on every call; the body
wins. Numbers may arrive as text, what is not known is ignored, and in the calls of the contract
`""` counts as not sent. Every path works with and without its trailing slash.
Refusals are `{"detail", "code"}`: a sentence for people, a word for programs.

The frames of the socket stand on [/docs/socket/](/docs/socket/).
"""
HOW_TO_TRY = f"""
**On a laptop every example can be executed as it stands.** Begin with `POST /sim/phone/login`, then
`POST /wx/api/qlive/qlive_user/`, which answers a `token`: now this page speaks as `hongniang1`, a
matchmaker, and `POST /wx/api/qlive/qlive_room/matchmaker_enter/` opens a room. (Elsewhere send the
whole answer of the first to the second, then `Authorization: QLiveToken <token>` with every call.)
For somebody to talk to, begin again with another name, say `建国` and gender 1: the page then
speaks as him. The operators' calls want the token that the server prints when it starts:
**Authorize**.

What nobody can know beforehand this page takes from the answers: the code and the data of a phone,
and of an order its `content`. A `user_id` of `{FROM_ANSWERS["user_id"]}` becomes the last person
that was named, never oneself; a `live_id` of {FROM_ANSWERS["live_id"]} the last room.
"""
TAGS = {
    "people": "Accounts, logging in and out, likes.",
    "rooms": "Coming into a room, its people, its rankings, opening and ending it.",
    "mic": "The way to the mic and off it.",
    "gifts": "What there is to give, and giving it.",
    "recharge": "What gold costs, and ordering it.",
    "configs": "What the mini-program shows.",
    "socket": "What happens in a room, as it happens.",
    "callbacks": "Where Tencent and WeChat report; signed by them, of no use to others.",
    "operators": "The operators' API; every call is written down.",
    "health": "For load balancers and Prometheus.",
    simulator.TAG: "WeChat and Tencent, played here; in development only.",
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
        "description": "`ops.token` of the settings; a laptop prints it when it starts.",
    },
}


def document(routes: Iterable[Route], *, with_simulator: bool) -> OpenAPI:
    found = list(calls(routes))
    played = simulator.PLAYED if with_simulator else []
    schemas, no = _schemas(found, played), refusals.Refusals()
    paths: dict[str, Json] = {}
    for call in found:
        paths.setdefault(call.path, {})[call.method] = operation(call, schemas, no)
    paths |= {call.path: {"post": _played(call, schemas, no)} for call in played}
    name = refusals.MODEL.__name__
    components = {**schemas.components, name: refusals.envelope(schemas.components[name])}
    used = {tag for path in paths.values() for call in path.values() for tag in call["tags"]}
    return OpenAPI.model_validate(
        {
            "openapi": "3.1.1",
            "info": {
                "title": "QLive",
                "version": VERSION,
                "description": ABOUT + (HOW_TO_TRY if with_simulator else ""),
            },
            "servers": [{"url": "/"}],
            "tags": [{"name": n, "description": d} for n, d in TAGS.items() if n in used],
            "paths": paths,
            "components": {
                "schemas": components,
                "responses": no.components,
                "securitySchemes": SCHEMES,
            },
        }
    )


def text(document: OpenAPI) -> str:
    return document.model_dump_json(by_alias=True, exclude_unset=True, exclude_none=True, indent=1)


def _schemas(found: list[Call], played: list[simulator.Played]) -> Schemas:
    asks = [call.asks for call in found if call.asks] + [call.asks for call in played]
    answers = [call.answers for call in found if call.answers] + [call.answers for call in played]
    return Schemas(asks, [*answers, refusals.MODEL, *([simulator.Wrong] if played else [])])


def _played(call: simulator.Played, schemas: Schemas, no: refusals.Refusals) -> Json:
    answers = {200: (call.answers, "Played."), 400: (simulator.Wrong, "A phone cannot do this.")}
    asked = {"schema": schemas.of(call.asks, "validation"), "example": call.example}
    return {
        "operationId": call.name,
        "tags": [simulator.TAG],
        "summary": call.summary,
        "requestBody": {"required": True, "content": {JSON: asked}},
        "responses": {
            str(status): {
                "description": about,
                "content": {JSON: {"schema": schemas.of(model, "serialization")}},
            }
            for status, (model, about) in answers.items()
        }
        | no.responses([*refusals.ALWAYS, refusals.AWAY_AT_PLAY]),
        "security": [],
    }
