"""Catalogues maintained by operators: documents numbered from 1.

gifts: the gift catalogue; `gold` is the unit price. blocks: the recharge catalogue; an amount of
gold for a price in fen.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from core.errors import NotFound
from storage.database import Collection, Database, Document, Session
from storage.errors import BlockNotFound, GiftNotFound


class CatalogueStore:
    """One catalogue; `not_found_error` is raised for an unknown id."""

    name: str
    not_found_error: type[NotFound] = NotFound
    order: tuple[tuple[str, int], ...] = (("_id", 1),)

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows: Collection = database.collection(self.name)

    async def make_indexes(self) -> None:
        await self._rows.create_index(list(self.order))

    def to_row(self, fields: Document) -> Document:
        """The fields as stored."""
        return fields

    def from_row(self, row: Document) -> Document:
        """The fields as passed to `add` and `edit`."""
        return row

    async def find(self, number: int) -> Document | None:
        row = await self._rows.find_one({"_id": number})
        return self._item(row) if row else None

    async def get(self, number: int) -> Document:
        if row := await self.find(number):
            return row
        raise self.not_found_error

    async def all(self) -> list[Document]:
        return [self._item(row) for row in await self._rows.find().sort(list(self.order)).to_list()]

    async def add(self, *, session: Session | None = None, **fields: Any) -> Document:
        number = await self._database.next_number(self.name)
        await self._rows.insert_one({"_id": number, **self.to_row(fields)}, session=session)
        return {"id": number, **fields}

    async def store_defaults(self, defaults: Iterable[Document]) -> None:
        """Add these rows at the first start; a row that an operator deletes does not return.

        The counter is stored last: a start that is killed is completed by the next one.
        """
        counters = self._database.collection("counters")
        if await counters.find_one({"_id": self.name}):
            return
        number = 0
        for number, fields in enumerate(defaults, 1):
            with suppress(DuplicateKeyError):  # of another start
                await self._rows.insert_one({"_id": number, **self.to_row(fields)})
        counted = {"$setOnInsert": {"n": number}}
        await counters.update_one({"_id": self.name}, counted, upsert=True)

    async def edit(
        self,
        number: int,
        *,
        expected: Mapping[str, str] | None = None,
        session: Session | None = None,
        **fields: Any,
    ) -> Document:
        """Set the fields of the row, which counts as unknown if others are not as expected."""
        if not fields:
            return await self.get(number)
        row = await self._rows.find_one_and_update(
            {"_id": number, **(expected or {})},
            {"$set": self.to_row(fields)},
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        if row is None:
            raise self.not_found_error
        return self._item(row)

    async def remove(self, number: int, *, session: Session | None = None) -> None:
        result = await self._rows.delete_one({"_id": number}, session=session)
        if not result.deleted_count:
            raise self.not_found_error

    def _item(self, row: Document) -> Document:
        return self.from_row({"id": row.pop("_id"), **row})


class GiftStore(CatalogueStore):
    name, not_found_error = "gifts", GiftNotFound


class RechargeBlockStore(CatalogueStore):
    name, not_found_error = "blocks", BlockNotFound
    order = (("fen", 1), ("_id", 1))
