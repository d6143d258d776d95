"""What is answered when something is refused: by status, with every word for programs."""

import inspect
from collections.abc import Iterator
from http import HTTPStatus

from handlers.answers import Refused
from handlers.base import Handler
from handlers.description.schemas import REF, Json
from money.refusals import Refusal as MoneyRefusal
from rooms.refusals import BadParameter, Refusal, ServiceAway

MODEL = Refused
_SOMETIMES = "fields"
"""Only with BadParameter; the envelope has no null."""

_HEADERS = {
    401: ("WWW-Authenticate", "How to say who one is."),
    405: ("Allow", "The methods of this path."),
    429: ("Retry-After", "Seconds."),
    503: ("Retry-After", "Seconds."),
}
_STATUSES = (400, 401, 403, 404, 405, 409, 413, 429, 500, 503)

AnyRefusal = type[Refusal] | type[MoneyRefusal]


def reference(status: int) -> Json:
    return {"$ref": f"#/components/responses/{_name(status)}"}


def responses() -> Json:
    """One for each status, to be referred to."""
    return {_name(status): _response(status) for status in _STATUSES}


def envelope(generated: Json) -> Json:
    """The schema of `MODEL`: what may be absent is never null."""
    text = {"type": "string"}
    fields = {"type": "object", "additionalProperties": text, "description": "Reason by parameter."}
    properties = {**generated["properties"], _SOMETIMES: fields}
    required = [name for name in properties if name != _SOMETIMES]
    return {**generated, "properties": properties, "required": required}


def soft(handler: type[Handler]) -> list[Json]:
    """What is answered with 200 and yet is a "no"."""
    return [
        {
            "type": "object",
            "description": getattr(refusal, "detail", ""),
            "properties": {
                name: {"type": "string", "const": "failed"},
                "detail": {"type": "string"},
                "code": {"type": "string", "const": getattr(refusal, "code", "")},
            },
            "required": [name, "detail", "code"],
        }
        for refusal, name in handler.soft_refusals.items()
    ]


def _name(status: int) -> str:
    return HTTPStatus(status).phrase.replace(" ", "")


def _response(status: int) -> Json:
    examples = {
        refusal.code: {"summary": _sentence(refusal), "value": _body(refusal)}
        for refusal in _all()
        if refusal.status == status and refusal is not ServiceAway  # its word names a service
    }
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        detail = "Something went wrong on our side."
        examples = {
            "internal": {"summary": detail, "value": {"detail": detail, "code": "internal"}}
        }
    about = f"{HTTPStatus(status).phrase}: {', '.join(f'`{code}`' for code in examples)}."
    content = {"schema": {"$ref": REF + MODEL.__name__}, "examples": examples}
    response: Json = {"description": about, "content": {"application/json": content}}
    if status in _HEADERS:
        name, says = _HEADERS[status]
        response["headers"] = {name: {"description": says, "schema": {"type": "string"}}}
    return response


def _body(refusal: AnyRefusal) -> Json:
    if refusal is BadParameter:
        fields = {"live_id": "this is required"}
        return {"detail": "live_id: this is required", "code": refusal.code, _SOMETIMES: fields}
    return {"detail": refusal.detail, "code": refusal.code}


def _sentence(refusal: AnyRefusal) -> str:
    return inspect.cleandoc(refusal.__doc__ or refusal.detail).partition("\n")[0]


def _all() -> Iterator[AnyRefusal]:
    """Both trees, a branch before what hangs from it."""
    waiting: list[AnyRefusal] = [*Refusal.__subclasses__(), *MoneyRefusal.__subclasses__()]
    while waiting:
        refusal = waiting.pop(0)
        waiting[:0] = refusal.__subclasses__()
        yield refusal
