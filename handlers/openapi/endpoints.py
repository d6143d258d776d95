"""Lists the endpoints of a routing table: one per path and method."""

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from handlers.base import CallDescription, Handler, Route
from services.roles import Access

METHODS = ("get", "post", "patch", "put", "delete")


class Endpoint(NamedTuple):
    """One method of one path.

    `path` is an OpenAPI path template; `variables` maps its variables to their patterns. `access`
    is what the endpoint requires of an operator.
    """

    route: str
    path: str
    method: str
    handler: type[Handler]
    call: CallDescription
    variables: dict[str, str]
    access: Access | None

    @property
    def name(self) -> str:
        """Unique operation id: route name and method."""
        return f"{self.route}.{self.method}"

    @property
    def module(self) -> str:
        return self.route.rpartition(".")[0]

    @property
    def summary(self) -> str:
        """First paragraph of the handler class's docstring."""
        return (self.handler.__doc__ or "").partition("\n\n")[0].replace("\n    ", " ")

    @property
    def details(self) -> str:
        """The rest of the class's docstring, then the method's docstring."""
        more = inspect.cleandoc(self.handler.__doc__ or "").partition("\n\n")[2]
        own = inspect.getdoc(getattr(self.handler, self.method)) or ""
        return "\n\n".join(filter(None, (more, own)))


def endpoints(routes: Iterable[Route]) -> Iterator[Endpoint]:
    """Yields the endpoints in the order of the routes."""
    for route in routes:
        for method in METHODS:
            function: Any = getattr(route.handler, method)
            if function is not getattr(Handler, method):
                path, variables = _template(route.path, function)
                yield Endpoint(
                    route.name,
                    path,
                    method,
                    route.handler,
                    function.call,
                    variables,
                    route.access(method),
                )


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
