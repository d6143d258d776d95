"""Compiles functions of the server again, with some of their source replaced."""

import inspect
import textwrap
from collections.abc import Callable
from types import FunctionType
from typing import Any

Replacements = tuple[tuple[str, str], ...]
"""Old and new text, each with the indentation that it has in its file."""


class TextNotFound(Exception):
    """The source has changed since the benchmark was written."""


class Patch:
    """Replaces an attribute of a class or module by what it is compiled to again."""

    def __init__(self, owner: Any, name: str, replacements: Replacements = ()) -> None:
        """Raises TextNotFound."""
        self._owner, self._name = owner, name
        self._shipped = inspect.getattr_static(owner, name)
        self._patched = recompiled(self._shipped, owner, replacements)

    def apply(self) -> None:
        setattr(self._owner, self._name, self._patched)

    def undo(self) -> None:
        setattr(self._owner, self._name, self._shipped)


def recompiled(
    function: FunctionType, owner: Any, replacements: Replacements
) -> Callable[..., Any]:
    """The function with its source replaced; `owner` is the class for its `super()`."""
    source = inspect.getsource(function)
    for old, new in replacements:
        if old not in source:
            raise TextNotFound(f"{function.__qualname__}: {old}")
        source = source.replace(old, new)
    body = textwrap.indent(textwrap.dedent(source), "    ")
    code = f"def compiled(__class__):\n{body}\n    return {function.__name__}"
    names: dict[str, Any] = {}
    exec(compile(code, function.__code__.co_filename, "exec"), function.__globals__, names)  # noqa: S102 - our source
    patched: Callable[..., Any] = names["compiled"](owner)
    return patched
