"""References within a JSON document, as OpenAPI and AsyncAPI use them."""

from collections.abc import Iterator
from typing import Any


def references(part: Any) -> Iterator[str]:
    """Every `$ref` within `part`."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        part = list(part.values())
    for inside in part if isinstance(part, list) else ():
        yield from references(inside)


def resolve(document: dict[str, Any], reference: str) -> Any:
    """The part of the document that a reference names; a KeyError if there is none."""
    found: Any = document
    for name in reference.removeprefix("#/").split("/"):
        found = found[name]
    return found
