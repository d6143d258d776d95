"""Batched reads of documents by `_id`."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

from core.batching import BatchLoader
from storage.database import Collection, Document
from storage.errors import StorageUnavailable

T = TypeVar("T")


def documents_by_id(
    collection: Collection, parse: Callable[[Document], T], exclude: str = ""
) -> BatchLoader[T]:
    """Loads documents and parses each; `exclude` is a field that is not read.

    A document that cannot be parsed fails only the callers that asked for it.
    """
    projection = {exclude: 0} if exclude else None

    async def load(ids: Sequence[Hashable]) -> dict[Hashable, T | Exception]:
        found = await collection.find({"_id": {"$in": [*ids]}}, projection).to_list()
        return {document["_id"]: parsed(document, parse) for document in found}

    return BatchLoader(load, StorageUnavailable)


def parsed(document: Document, parse: Callable[[Document], T]) -> T | Exception:
    """What `parse` returns or raises: an error concerns the callers of this document only."""
    try:
        return parse(document)
    except Exception as error:  # noqa: BLE001 - raised to the callers of this document
        return error


def fields_of(value: Any) -> Document:
    """The fields of a dataclass with slots, not copied: `asdict` takes ten times as long."""
    return {name: getattr(value, name) for name in value.__slots__}
