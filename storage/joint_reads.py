"""Reads of documents in several collections by one command."""

from asyncio import Future
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pymongo.asynchronous.database import AsyncDatabase

from core.batching import BatchLoader, parsed

A = TypeVar("A")
T = TypeVar("T")


@dataclass(eq=False, slots=True)
class DocumentLoader(Generic[T]):
    """Loads documents of a collection by a unique field, as BatchLoader does by key."""

    _reads: BatchLoader[Any]
    collection: str
    field: str
    parse: Callable[[dict[str, Any]], T]

    def get(self, key: Hashable) -> "Future[T | None]":
        return self._reads.get((self, key))

    def get_many(self, keys: Sequence[Hashable]) -> "Future[list[T | None]]":
        return self.read(keys, list)

    def read(self, keys: Sequence[Hashable], select: Callable[[list[T | None]], A]) -> "Future[A]":
        return self._reads.read([(self, key) for key in keys], select)


class JointReads:
    """Reads that are requested in one turn of the event loop are one command.

    A command costs PyMongo 0.3 ms and MongoDB 0.15 ms; a further collection in it costs MongoDB
    half as much, and PyMongo nothing.
    """

    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        self._database = database
        self._reads: BatchLoader[Any] = BatchLoader(self._load)

    def by_id(
        self, collection: str, parse: Callable[[dict[str, Any]], T], field: str = "_id"
    ) -> DocumentLoader[T]:
        """Load documents by their id, or another unique field, and parse each.

        A document that cannot be parsed fails only the callers that asked for it.
        """
        return DocumentLoader(self._reads, collection, field, parse)

    async def _load(self, requested: Sequence[Any]) -> dict[Hashable, Any]:
        keys: dict[DocumentLoader[Any], list[Hashable]] = {}
        for loader, key in requested:
            keys.setdefault(loader, []).append(key)
        wanted = {loader: {loader.field: {"$in": ids}} for loader, ids in keys.items()}
        return {
            (loader, row[loader.field]): parsed(row, loader.parse)
            for loader, row in await self._find(wanted)
        }

    async def _find(
        self, wanted: dict[DocumentLoader[Any], dict[str, Any]]
    ) -> list[tuple[DocumentLoader[Any], dict[str, Any]]]:
        first, *others = loaders = [*wanted]
        rows = self._database[first.collection]
        if not others:
            return [(first, row) for row in await rows.find(wanted[first]).to_list()]
        pipelines = [
            [{"$match": where}, {"$set": {"loader": number}}]
            for number, where in enumerate(wanted.values())
        ]
        unions = [
            {"$unionWith": {"coll": loader.collection, "pipeline": pipeline}}
            for loader, pipeline in zip(others, pipelines[1:], strict=True)
        ]
        found = await (await rows.aggregate([*pipelines[0], *unions])).to_list()
        return [(loaders[row.pop("loader")], row) for row in found]
