"""Error responses of every endpoint, by status, with each error code."""

from collections.abc import Iterable
from http import HTTPStatus

from core.errors import InvalidParameter, NotFound, QLiveError, RateLimited, TryAgain
from handlers.errors import BadRequest, MethodNotAllowed, PayloadTooLarge, status_of
from handlers.openapi.endpoints import Endpoint
from handlers.openapi.schemas import Json
from handlers.webhook_base import WebhookHandler
from storage.errors import StorageUnavailable

_HEADERS = {
    401: ("WWW-Authenticate", "Required authentication scheme."),
    405: ("Allow", "Methods that this path supports."),
    429: ("Retry-After", "Seconds to wait before a retry."),
    503: ("Retry-After", "Seconds to wait before a retry."),
}
COMMON_ERRORS = (
    *(MethodNotAllowed(), PayloadTooLarge(), TryAgain(), StorageUnavailable()),
    QLiveError(),  # a bug
)


class ErrorResponses:
    """Builds references to error responses, collecting each once in `components`."""

    def __init__(self, schema: Json) -> None:
        """Take the `schema` of the envelope of every error."""
        self.components: dict[str, Json] = {}
        self._schema = schema

    def of(self, errors: Iterable[QLiveError]) -> Json:
        """Return references to the responses of these errors, by status."""
        by_status: dict[int, list[QLiveError]] = {}
        for error in errors:
            by_status.setdefault(status_of(type(error)), []).append(error)
        return {str(status): self._refer(status, by_status[status]) for status in sorted(by_status)}

    def _refer(self, status: int, errors: list[QLiveError]) -> Json:
        phrase = HTTPStatus(status).phrase.replace(" ", "")
        name = ".".join([phrase, *(error.code for error in errors)])
        self.components[name] = self._response(status, errors)
        return {"$ref": f"#/components/responses/{name}"}

    def _response(self, status: int, errors: list[QLiveError]) -> Json:
        examples = {
            error.code: {"summary": error.detail, "value": _body(error)} for error in errors
        }
        description = f"{HTTPStatus(status).phrase}: {', '.join(f'`{code}`' for code in examples)}."
        content = {"schema": self._schema, "examples": examples}
        response: Json = {"description": description, "content": {"application/json": content}}
        if status in _HEADERS:
            name, meaning = _HEADERS[status]
            response["headers"] = {name: {"description": meaning, "schema": {"type": "string"}}}
        return response


def errors_of(endpoint: Endpoint) -> Iterable[QLiveError]:
    """Return every error of an endpoint: admission, declared, parameter and common ones."""
    found: list[type[QLiveError] | QLiveError] = [
        BadRequest,
        *endpoint.handler.authorization_errors,
    ]
    if endpoint.call.limit:
        found.append(RateLimited)
    if endpoint.variables:
        found.append(NotFound)  # the path does not match its pattern
    found += endpoint.call.errors
    if not issubclass(endpoint.handler, WebhookHandler):
        found.append(InvalidParameter({"live_id": "this is required"}))
    instances = [error() if isinstance(error, type) else error for error in found]
    soft = tuple(endpoint.handler.soft_errors)
    by_code = {
        error.code: error for error in (*instances, *COMMON_ERRORS) if not isinstance(error, soft)
    }
    return by_code.values()


def soft(endpoint: Endpoint) -> list[Json]:
    """Return the schemas of an endpoint's errors that the contract answers with status 200."""
    raised = (*endpoint.handler.authorization_errors, *endpoint.call.errors)
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


def _body(error: QLiveError) -> Json:
    fields = {"fields": error.fields} if isinstance(error, InvalidParameter) else {}
    return {"detail": error.detail, "code": error.code, **fields}
