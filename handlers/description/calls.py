"""The calls that a table of routes holds: one for every method of every path."""

import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from handlers.base import Handler

Route = tuple[str, type[Handler]]
"""A path from the root, its variable parts as groups of a regular expression, and its class."""

METHODS = ("get", "post", "patch", "put", "delete")


@dataclass(frozen=True)
class Call:
    """`path` as OpenAPI writes it, `variables` with the pattern of each."""

    path: str
    method: str
    handler: type[Handler]
    variables: dict[str, str] = field(hash=False)

    @property
    def name(self) -> str:
        """Unique: the module, the class and the method."""
        return f"{self.module}.{self.handler.__name__}.{self.method}"

    @property
    def module(self) -> str:
        return self.handler.__module__.removeprefix("handlers.")

    @property
    def asks(self) -> Any:
        """The model of what it is sent; None where it reads nothing, or reads in its own way."""
        return getattr(self._function, "asks", None)

    @property
    def answers(self) -> Any:
        """The model of what it answers; None where it writes in its own way."""
        return getattr(self._function, "answers", None)

    @property
    def summary(self) -> str:
        """The first sentence of its class."""
        return (self.handler.__doc__ or "").partition("\n\n")[0].replace("\n    ", " ")

    @property
    def details(self) -> str:
        """What else its class and its method say."""
        more = inspect.cleandoc(self.handler.__doc__ or "").partition("\n\n")[2]
        return "\n\n".join(filter(None, (more, inspect.getdoc(self._function) or "")))

    @property
    def _function(self) -> Any:
        return getattr(self.handler, self.method)


def calls(routes: Iterable[Route]) -> Iterator[Call]:
    """In the order of the routes."""
    for pattern, handler in routes:
        for method in METHODS:
            if getattr(handler, method) is not getattr(Handler, method):
                path, variables = _template(pattern, getattr(handler, method))
                yield Call(path, method, handler, variables)


def _template(pattern: str, function: Any) -> tuple[str, dict[str, str]]:
    """The groups of the pattern are named as the method names what it is given."""
    given = [name for name in inspect.signature(function).parameters if name not in ("self", "ask")]
    groups = re.findall(r"\(([^)]+)\)", pattern)
    path = pattern
    for name, group in zip(given, groups, strict=True):
        path = path.replace(f"({group})", f"{{{name}}}", 1)
    return path, {name: f"^{group}$" for name, group in zip(given, groups, strict=True)}
