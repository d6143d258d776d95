"""Endpoints of a routing table, one per path and method, and the errors of each."""

import inspect
import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any, NamedTuple, NoReturn, get_args

from core.errors import InvalidParameter, NotFound, QLiveError, RateLimited, TryAgain
from handlers.base import CallDescription, Handler, Route, methods_of
from handlers.callback_base import CallbackHandler
from handlers.errors import BadRequest, MethodNotAllowed, PayloadTooLarge, status_of
from handlers.health import ReadyResponse
from handlers.models import ErrorResponse, NoContentResponse, TextResponse
from handlers.openapi.schemas import Json, SchemaRegistry
from handlers.operator_base import ApprovalResponse
from services.operators.roles import Access
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


class Endpoint(NamedTuple):
    """One method of one path.

    `path` is an OpenAPI path template; `variables` maps its variables to their patterns.
    """

    route: Route
    path: str
    method: str
    call: CallDescription
    variables: dict[str, str]

    @property
    def name(self) -> str:
        """Unique operation id: route name and method."""
        return f"{self.route.name}.{self.method}"

    @property
    def handler(self) -> type[Handler]:
        return self.route.handler

    @property
    def access(self) -> Access | None:
        """What the endpoint requires of an operator."""
        return self.route.access(self.method)

    @property
    def responses(self) -> dict[int, Any]:
        """The model of each status that is answered with one as JSON."""
        returned = self.call.response
        models = get_args(returned) or (returned,)
        if returned is NoReturn or issubclass(models[0], NoContentResponse | TextResponse):
            return {}
        if returned is ReadyResponse:
            return {200: returned, 503: returned}
        if models[-1] is ApprovalResponse and len(models) > 1:
            return {200: models[0], 202: ApprovalResponse}
        return {200: returned}

    def documentation(self) -> tuple[str, str]:
        """Return the first paragraph of the docstring, and the others.

        It is that of the class, or with several methods that of the method.
        """
        texts = [inspect.getdoc(getattr(self.handler, self.method)) or ""]
        if len(methods_of(self.handler)) == 1:
            texts.insert(0, inspect.cleandoc(self.handler.__doc__ or ""))
        summary, _, details = "\n\n".join(filter(None, texts)).partition("\n\n")
        return summary.replace("\n", " "), details

    def errors(self) -> Iterable[QLiveError]:
        """Return every error: of the authorization, declared, of parameters and common ones."""
        found: list[type[QLiveError] | QLiveError] = [
            BadRequest,
            *self.handler.authorization_errors,
        ]
        if self.call.limit:
            found.append(RateLimited)
        if self.variables:
            found.append(NotFound)  # the path does not match its pattern
        found += self.call.errors
        if not issubclass(self.handler, CallbackHandler):
            found.append(InvalidParameter({"live_id": "this is required"}))
        errors = [error() if isinstance(error, type) else error for error in found]
        soft = tuple(self.handler.soft_errors)
        return {
            error.code: error for error in (*errors, *COMMON_ERRORS) if not isinstance(error, soft)
        }.values()


def endpoints(routes: Iterable[Route]) -> Iterator[Endpoint]:
    """Yield the endpoints; the groups of a path take the names of the method's parameters."""
    for route in routes:
        for method in methods_of(route.handler):
            function: Any = getattr(route.handler, method)
            parameters = inspect.signature(function).parameters
            names = [name for name in parameters if name not in ("self", "params")]
            groups = re.findall(r"\(([^)]+)\)", route.path)
            path, variables = route.path, {}
            for name, group in zip(names, groups, strict=True):
                path = path.replace(f"({group})", f"{{{name}}}", 1)
                variables[name] = f"^{group}$"
            yield Endpoint(route, path, method, function.call, variables)


def error_responses(endpoint: Endpoint, schemas: SchemaRegistry, components: Json) -> Json:
    """Return references to the endpoint's error responses by status; add those to `components`."""
    by_status: dict[int, list[QLiveError]] = {}
    for error in endpoint.errors():
        by_status.setdefault(status_of(type(error)), []).append(error)
    references = {}
    for status in sorted(by_status):
        examples: dict[str, Json] = {}
        for error in by_status[status]:
            fields = {"fields": error.fields} if isinstance(error, InvalidParameter) else {}
            body = {"detail": error.detail, "code": error.code, **fields}
            examples[error.code] = {"summary": error.detail, "value": body}
        phrase = HTTPStatus(status).phrase
        content = {"schema": schemas.of(ErrorResponse, "serialization"), "examples": examples}
        response: Json = {
            "description": f"{phrase}: {', '.join(f'`{code}`' for code in examples)}.",
            "content": {"application/json": content},
        }
        if status in _HEADERS:
            header, meaning = _HEADERS[status]
            response["headers"] = {header: {"description": meaning, "schema": {"type": "string"}}}
        name = ".".join([phrase.replace(" ", ""), *examples])
        components[name] = response
        references[str(status)] = {"$ref": f"#/components/responses/{name}"}
    return references


def soft_errors(endpoint: Endpoint) -> list[Json]:
    """Return the schemas of the errors that the contract answers with status 200."""
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
