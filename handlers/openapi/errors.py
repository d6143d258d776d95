"""Error responses of every endpoint, by status, with each error code."""

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import NamedTuple

from core.errors import InvalidParameter, NotFound, QLiveError, RateLimited, TryAgain
from handlers.errors import BadRequest, MethodNotAllowed, PayloadTooLarge, status_of
from handlers.openapi.endpoints import Endpoint
from handlers.openapi.schemas import SCHEMA_REF_PREFIX, Json
from handlers.schemas.responses import ErrorResponse
from handlers.webhooks.base import WebhookHandler
from storage.errors import StorageUnavailable
from tencent.errors import ServiceUnavailable

MODEL = ErrorResponse
MODEL_NAME = "Refused"
_OPTIONAL = "fields"
"""Present only for InvalidParameter, otherwise left out: the envelope has no nulls."""

_HEADERS = {
    401: ("WWW-Authenticate", "Required authentication scheme."),
    405: ("Allow", "Methods that this path supports."),
    429: ("Retry-After", "Seconds to wait before a retry."),
    503: ("Retry-After", "Seconds to wait before a retry."),
}


class ErrorExample(NamedTuple):
    """Status and body of one error."""

    status: int
    code: str
    detail: str
    fields: dict[str, str] | None = None


INTERNAL = ErrorExample(500, "internal", "Something went wrong on our side.")


class ErrorResponses:
    """Builds references to error responses, collecting each once in `components`."""

    def __init__(self) -> None:
        self.components: dict[str, Json] = {}

    def of(self, endpoint: Endpoint) -> Json:
        """Error responses of an endpoint, by status."""
        return self.responses(examples(endpoint))

    def responses(self, errors: Iterable[ErrorExample]) -> Json:
        by_status: dict[int, list[ErrorExample]] = {}
        for error in errors:
            by_status.setdefault(error.status, []).append(error)
        return {str(status): self._refer(status, by_status[status]) for status in sorted(by_status)}

    def _refer(self, status: int, errors: list[ErrorExample]) -> Json:
        phrase = HTTPStatus(status).phrase.replace(" ", "")
        name = ".".join([phrase, *(error.code for error in errors)])
        self.components[name] = _response(status, errors)
        return {"$ref": f"#/components/responses/{name}"}


def examples(endpoint: Endpoint) -> Iterator[ErrorExample]:
    """Yields every error of an endpoint: admission, declared, parameter and common ones."""
    declared = [BadRequest(), *(error() for error in endpoint.handler.admission_errors)]
    if endpoint.limit:
        declared.append(RateLimited())
    if endpoint.variables:
        declared.append(NotFound())  # the path does not match its pattern
    own = [error() if isinstance(error, type) else error for error in endpoint.errors]
    services = [error for error in own if isinstance(error, ServiceUnavailable)]
    declared += [error for error in own if error not in services]
    soft_types = tuple(endpoint.handler.soft_errors)
    by_type = {type(error): error for error in declared if not isinstance(error, soft_types)}
    yield from map(example_of, by_type.values())
    if endpoint.response_model is not None and not issubclass(endpoint.handler, WebhookHandler):
        yield example_of(InvalidParameter({"live_id": "this is required"}))
    yield from COMMON_ERRORS
    yield from map(example_of, services)


def envelope(generated: Json) -> Json:
    """Schema of `MODEL` in which the optional field is absent, never null."""
    text = {"type": "string"}
    fields = {"type": "object", "additionalProperties": text, "description": "Reason by parameter."}
    properties = {**generated["properties"], _OPTIONAL: fields}
    required = [name for name in properties if name != _OPTIONAL]
    return {**generated, "properties": properties, "required": required}


def soft(endpoint: Endpoint) -> list[Json]:
    """Schemas of the errors of an endpoint that the contract answers with status 200."""
    raised = (*endpoint.handler.admission_errors, *endpoint.errors)
    return [
        {
            "type": "object",
            "description": getattr(error, "detail", ""),
            "properties": {
                name: {"type": "string", "const": "failed"},
                "detail": {"type": "string"},
                "code": {"type": "string", "const": getattr(error, "code", "")},
            },
            "required": [name, "detail", "code"],
        }
        for error, name in endpoint.handler.soft_errors.items()
        if error in raised
    ]


def example_of(error: QLiveError) -> ErrorExample:
    fields = error.fields if isinstance(error, InvalidParameter) else None
    return ErrorExample(status_of(type(error)), error.code, error.detail, fields)


COMMON_ERRORS = (
    *map(example_of, (MethodNotAllowed(), PayloadTooLarge(), TryAgain(), StorageUnavailable())),
    INTERNAL,
)


def _response(status: int, errors: list[ErrorExample]) -> Json:
    examples = {error.code: {"summary": error.detail, "value": _body(error)} for error in errors}
    description = f"{HTTPStatus(status).phrase}: {', '.join(f'`{code}`' for code in examples)}."
    content = {"schema": {"$ref": SCHEMA_REF_PREFIX + MODEL_NAME}, "examples": examples}
    response: Json = {"description": description, "content": {"application/json": content}}
    if status in _HEADERS:
        name, meaning = _HEADERS[status]
        response["headers"] = {name: {"description": meaning, "schema": {"type": "string"}}}
    return response


def _body(error: ErrorExample) -> Json:
    fields = {_OPTIONAL: error.fields} if error.fields else {}
    return {"detail": error.detail, "code": error.code, **fields}
