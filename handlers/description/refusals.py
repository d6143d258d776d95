"""What is answered when something is refused: by status, with every word for programs."""

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import NamedTuple

from handlers.admission import SignedIn, Welcome
from handlers.answers import Refused
from handlers.base import Handler
from handlers.callback import Callback
from handlers.description.calls import Call
from handlers.description.schemas import REF, Json
from handlers.description.whence import PLACES, SERVICES
from handlers.ops.base import Operator
from handlers.users import Logout
from money.refusals import Refusal as MoneyRefusal
from rooms.refusals import (
    BadParameter,
    BadRequest,
    Banned,
    CallbackRefused,
    NoSuchThing,
    NotAnOperator,
    NotSignedIn,
    Refusal,
    ServiceAway,
    StorageAway,
    TooLarge,
    TryAgain,
    WrongMethod,
)

MODEL = Refused
_SOMETIMES = "fields"
"""Only with BadParameter; the envelope has no null."""

_HEADERS = {
    401: ("WWW-Authenticate", "How to say who one is."),
    405: ("Allow", "The methods of this path."),
    429: ("Retry-After", "Seconds."),
    503: ("Retry-After", "Seconds."),
}


class No(NamedTuple):
    """One refusal as it is answered."""

    status: int
    code: str
    detail: str
    fields: dict[str, str] | None = None


_DOORS: list[tuple[type[Handler], list[type[Refusal]]]] = [
    (Operator, [NotAnOperator]),
    (Welcome, [NotSignedIn, Banned]),
    (SignedIn, [NotSignedIn]),
    (Logout, [NotSignedIn]),
    (Callback, [CallbackRefused]),
]
"""The first that fits; whatever is none of these is everybody's."""
INTERNAL = No(500, "internal", "Something went wrong on our side.")


class Refusals:
    """Every refusal of every call; what several calls have in common stands in `components`."""

    def __init__(self) -> None:
        self.components: dict[str, Json] = {}

    def of(self, call: Call) -> Json:
        """The responses, by status."""
        return self.responses(heard(call))

    def responses(self, heard: Iterable[No]) -> Json:
        by_status: dict[int, list[No]] = {}
        for no in heard:
            by_status.setdefault(no.status, []).append(no)
        return {str(status): self._refer(status, by_status[status]) for status in sorted(by_status)}

    def _refer(self, status: int, heard: list[No]) -> Json:
        phrase = HTTPStatus(status).phrase.replace(" ", "")
        name = ".".join([phrase, *(no.code for no in heard)])
        self.components[name] = _response(status, heard)
        return {"$ref": f"#/components/responses/{name}"}


def heard(call: Call) -> Iterator[No]:
    """What this call may be refused with: by who is let in, by what it reads, by what it does."""
    refusals: list[type[Refusal] | type[MoneyRefusal]] = [BadRequest, *_admission(call.handler)]
    if call.variables:
        refusals.append(NoSuchThing)  # where they do not have their form
    refusals += [refusal for refusal, places in PLACES.items() if _is_at(call, places)]
    soft = tuple(call.handler.soft_refusals)
    for refusal in dict.fromkeys(refusals):
        if refusal not in soft:
            yield No(refusal.status, refusal.code, refusal.detail)
    if call.answers is not None and not issubclass(call.handler, Callback):
        yield _no(BadParameter({"live_id": "this is required"}))
    yield from ALWAYS
    yield from (_no(ServiceAway(s)) for s, places in SERVICES.items() if _is_at(call, places))


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


def _admission(handler: type[Handler]) -> list[type[Refusal]]:
    """How whoever may not call is refused."""
    return next((refusals for kind, refusals in _DOORS if issubclass(handler, kind)), [])


def _is_at(call: Call, places: str) -> bool:
    return any(f"{call.name}.".startswith(f"{place}.") for place in places.split())


def _no(refusal: Refusal) -> No:
    fields = refusal.fields if isinstance(refusal, BadParameter) else None
    return No(refusal.status, refusal.code, refusal.detail, fields)


ALWAYS = (*map(_no, (WrongMethod(), TooLarge(), TryAgain(), StorageAway())), INTERNAL)

AWAY_AT_PLAY = _no(ServiceAway("simulator"))
"""Where a supervisor's workers ask the one that it runs."""


def _response(status: int, heard: list[No]) -> Json:
    examples = {no.code: {"summary": no.detail, "value": _body(no)} for no in heard}
    about = f"{HTTPStatus(status).phrase}: {', '.join(f'`{code}`' for code in examples)}."
    content = {"schema": {"$ref": REF + MODEL.__name__}, "examples": examples}
    response: Json = {"description": about, "content": {"application/json": content}}
    if status in _HEADERS:
        name, says = _HEADERS[status]
        response["headers"] = {name: {"description": says, "schema": {"type": "string"}}}
    return response


def _body(no: No) -> Json:
    fields = {_SOMETIMES: no.fields} if no.fields else {}
    return {"detail": no.detail, "code": no.code, **fields}
