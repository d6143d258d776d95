"""Lists the endpoints of a routing table: one per path and method."""

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, NoReturn, get_args

from handlers.base import CallDescription, Handler, Route, methods_of
from handlers.health import ReadyResponse
from handlers.models import NoContentResponse, TextResponse
from handlers.operator_base import ApprovalResponse
from services.operators.roles import Access


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
    def responses(self) -> dict[int, Any]:
        """The model of each status that is answered with one as JSON."""
        returned = self.call.response
        models = get_args(returned) or (returned,)
        if returned is NoReturn or issubclass(models[0], NoContentResponse | TextResponse):
            return {}
        if returned is ReadyResponse:
            return {200: returned, 503: returned}
        if len(models) > 1 and models[-1] is ApprovalResponse:
            return {200: models[0], 202: models[-1]}
        return {200: returned}

    @property
    def name(self) -> str:
        """Unique operation id: route name and method."""
        return f"{self.route}.{self.method}"

    @property
    def module(self) -> str:
        return self.route.rpartition(".")[0]

    @property
    def summary(self) -> str:
        """First paragraph of the docstring: the class's, or with several methods the method's."""
        return self._paragraphs[0].replace("\n", " ")

    @property
    def details(self) -> str:
        return "\n\n".join(self._paragraphs[1:])

    @property
    def _paragraphs(self) -> list[str]:
        of_class = inspect.cleandoc(self.handler.__doc__ or "")
        own = inspect.getdoc(getattr(self.handler, self.method)) or ""
        texts = (of_class, own) if len(methods_of(self.handler)) == 1 else (own,)
        return "\n\n".join(filter(None, texts)).split("\n\n")


def endpoints(routes: Iterable[Route]) -> Iterator[Endpoint]:
    """Yield the endpoints in the order of the routes."""
    for route in routes:
        for method in methods_of(route.handler):
            function: Any = getattr(route.handler, method)
            path, variables = _template(route.path, function)
            access = route.access(method)
            yield Endpoint(
                route.name, path, method, route.handler, function.call, variables, access
            )


def _template(pattern: str, function: Any) -> tuple[str, dict[str, str]]:
    """Return path template and variable patterns.

    Groups take the method's parameter names.
    """
    names = [
        name for name in inspect.signature(function).parameters if name not in ("self", "params")
    ]
    groups = re.findall(r"\(([^)]+)\)", pattern)
    path = pattern
    for name, group in zip(names, groups, strict=True):
        path = path.replace(f"({group})", f"{{{name}}}", 1)
    return path, {name: f"^{group}$" for name, group in zip(names, groups, strict=True)}
