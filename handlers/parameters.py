"""Reading what a call was sent, wherever and in whatever form it stands."""

import json
from typing import Any

from pydantic import BaseModel, ValidationError
from tornado.httputil import HTTPServerRequest, parse_body_arguments

from rooms.refusals import BadParameter, BadRequest

DEEPEST = 32
"""Levels of a JSON body: what is stored as it came is written again, which pydantic does to 255."""

_REASONS = {
    "missing": "this is required",
    "string_pattern_mismatch": "this does not have the right form",
    "int_parsing": "this must be a whole number",
    "int_type": "this must be a whole number",
    "string_type": "this must be text",
    "bool_parsing": "this must be true or false",
    "bool_type": "this must be true or false",
}


def parameters(request: HTTPServerRequest, body: bytes) -> dict[str, Any]:
    """Query string and body together; the body wins. BadRequest, BadParameter."""
    kind = request.headers.get("Content-Type", "")
    sent = texts(request.query_arguments)
    return sent | (_form(kind, body) if _is_form(kind, body) else _json(body))


def read(model: type[BaseModel], sent: dict[str, Any]) -> BaseModel:
    """The parameters as the model wants them; BadParameter."""
    try:
        return model.model_validate(sent)
    except ValidationError as error:
        raise BadParameter(_reasons(error)) from None


def texts(arguments: dict[str, list[bytes]]) -> dict[str, Any]:
    """The last of each; a value that is not UTF-8 is BadParameter."""
    texts = {}
    for name, values in arguments.items():
        try:
            texts[name] = values[-1].decode()
        except UnicodeDecodeError:
            raise BadParameter({name: "this is not UTF-8"}) from None
    return texts


def _is_form(kind: str, body: bytes) -> bool:
    """By its type; but curl calls everything a form, and no form begins with a brace."""
    is_form = kind.startswith(("application/x-www-form-urlencoded", "multipart/form-data"))
    return is_form and not body.lstrip().startswith(b"{")


def _form(kind: str, body: bytes) -> dict[str, Any]:
    fields: dict[str, list[bytes]] = {}
    parse_body_arguments(kind, body, fields, {})
    return texts(fields)


def _json(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    try:
        sent = json.loads(body)
        _check_nesting(sent)
        # Refuses what could not be said again: NaN, infinities, halves of characters.
        json.dumps(sent, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise BadRequest("The body is not JSON.") from None
    if not isinstance(sent, dict):
        raise BadRequest("The body is not a JSON object.")
    return sent


def _check_nesting(value: Any, left: int = DEEPEST) -> None:
    if not left:
        raise ValueError("nested too deeply")
    inside = value.values() if isinstance(value, dict) else value
    for item in inside if isinstance(value, dict | list) else ():
        _check_nesting(item, left - 1)


def _reasons(error: ValidationError) -> dict[str, str]:
    return {
        ".".join(str(part) for part in problem["loc"]) or "body": _reason(problem)
        for problem in error.errors(include_url=False, include_input=False)
    }


def _reason(problem: Any) -> str:
    """In words for people; what pydantic says of a limit is plain enough."""
    said = str(problem["msg"]).removeprefix("Value error, ")
    for thing in ("Input", "String"):
        said = said.replace(f"{thing} should", "this should")
    return _REASONS.get(problem["type"], said)
