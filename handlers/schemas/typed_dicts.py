"""Makes the TypedDicts of rooms/ usable in pydantic models.

Before Python 3.12 pydantic accepts only TypedDicts of typing_extensions, so each is rebuilt as one.
"""

import functools
import types
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

from typing_extensions import TypedDict


@functools.cache
def pydantic_type(hint: Any) -> Any:
    """The same type with every TypedDict in it rebuilt as one that pydantic accepts."""
    if is_typeddict(hint):
        fields = {name: pydantic_type(part) for name, part in get_type_hints(hint).items()}
        return typed_dict(hint.__name__, fields, hint.__doc__)
    if get_origin(hint) is list:
        return types.GenericAlias(list, (pydantic_type(get_args(hint)[0]),))
    if get_origin(hint) is types.UnionType:
        parts = map(pydantic_type, get_args(hint))
        return functools.reduce(lambda left, right: left | right, parts)
    return hint


def typed_dict(name: str, fields: dict[str, Any], doc: str | None) -> Any:
    """A TypedDict of typing_extensions with these fields and this docstring."""
    result: Any = TypedDict(name, fields)  # type: ignore[misc]  # the names are data here
    result.__doc__ = doc
    return result
