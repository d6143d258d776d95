"""Lists the endpoints of a routing table: one per path and method."""

import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.errors import QLiveError
from handlers.base import Handler, Route
from handlers.limits import LimitClass
from services.roles import Access

METHODS = ("get", "post", "patch", "put", "delete")


@dataclass(frozen=True)
class Endpoint:
    """One method of one path.

    `path` is an OpenAPI path template; `variables` maps its variables to their patterns.
    """

    route: str
    path: str
    method: str
    handler: type[Handler]
    variables: dict[str, str] = field(hash=False)
    access: Access | None = None
    """What the endpoint requires of an operator."""

    @property
    def name(self) -> str:
        """Unique operation id: route name and method."""
        return f"{self.route}.{self.method}"

    @property
    def module(self) -> str:
        return self.route.rpartition(".")[0]

    @property
    def request_model(self) -> Any:
        """Request model; None if the handler reads nothing or parses by itself."""
        return getattr(self._function, "request_model", None)

    @property
    def response_model(self) -> Any:
        """Response model; None if the handler writes the response itself."""
        return getattr(self._function, "response_model", None)

    @property
    def accepted_model(self) -> Any:
        """Response model of a request that has to wait; None if none does."""
        return getattr(self._function, "accepted_model", None)

    @property
    def summary(self) -> str:
        """First paragraph of the handler class's docstring."""
        return (self.handler.__doc__ or "").partition("\n\n")[0].replace("\n    ", " ")

    @property
    def details(self) -> str:
        """The rest of the class's docstring, then the method's docstring."""
        more = inspect.cleandoc(self.handler.__doc__ or "").partition("\n\n")[2]
        return "\n\n".join(filter(None, (more, inspect.getdoc(self._function) or "")))

    @property
    def errors(self) -> Sequence[type[QLiveError] | QLiveError]:
        """Errors declared for this endpoint, without those common to its handler class."""
        return getattr(self._function, "errors", self.handler.errors)

    @property
    def limit(self) -> LimitClass | None:
        """Limit class; None if the endpoint has no rate limit of its own."""
        return getattr(self._function, "limit", None)

    @property
    def _function(self) -> Any:
        return getattr(self.handler, self.method)


def endpoints(routes: Iterable[Route]) -> Iterator[Endpoint]:
    """Yields the endpoints in the order of the routes."""
    for route in routes:
        for method in METHODS:
            function = getattr(route.handler, method)
            if function is not getattr(Handler, method):
                path, variables = _template(route.path, function)
                access = route.access(method)
                yield Endpoint(route.name, path, method, route.handler, variables, access)


def _template(pattern: str, function: Any) -> tuple[str, dict[str, str]]:
    """Path template and variable patterns; groups take the method's parameter names."""
    names = [
        name for name in inspect.signature(function).parameters if name not in ("self", "params")
    ]
    groups = re.findall(r"\(([^)]+)\)", pattern)
    path = pattern
    for name, group in zip(names, groups, strict=True):
        path = path.replace(f"({group})", f"{{{name}}}", 1)
    return path, {name: f"^{group}$" for name, group in zip(names, groups, strict=True)}
