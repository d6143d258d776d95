"""defaults: which default rows were stored, one document per catalogue."""

from collections.abc import Callable, Collection, Mapping, Sequence

from pymongo import ReturnDocument

from storage.catalogue import CatalogueStore
from storage.counters import CounterStore
from storage.database import Collection as Rows
from storage.database import Database, Document

IsDefault = Callable[[Document, Document, int], bool]
"""Whether a row is this default, which is at this position from 1, perhaps edited."""


class DefaultRowStore:
    """Stores each default row of a catalogue once, however often a start is killed or repeated.

    The document of a catalogue records the number that each default has been given (`numbers`) and
    the names of those that were stored (`stored`): a row that an operator has deleted does not
    return, and two starts at once insert the same number.
    """

    def __init__(self, database: Database, counters: CounterStore) -> None:
        self._documents: Rows = database.collection("defaults")
        self._counters = counters

    async def store(
        self,
        catalogue: CatalogueStore,
        defaults: Mapping[str, Document],
        is_default: IsDefault,
        required: Collection[str] = (),
    ) -> list[str]:
        """Store the defaults that were never stored; returns their names.

        A `required` one is also stored again when the catalogue has no row of it any more.
        """
        rows = await catalogue.all()
        known = await self._known(catalogue.name, _stored_before(rows, defaults, is_default))
        if required:
            rows = await catalogue.all()  # after `known`: shows each row that it says was stored
        for name in required:
            if not any(is_default(row, defaults[name], 0) for row in rows):
                known = await self._forget(known, name)
        missing = [name for name in defaults if name not in known["stored"]]
        for name in missing:
            number = await self._number(known, name)
            await catalogue.add_numbered(number, **defaults[name])
            await self._documents.update_one(
                {"_id": catalogue.name}, {"$addToSet": {"stored": name}}
            )
        return missing

    async def _known(self, catalogue: str, stored_before: Sequence[str]) -> Document:
        """The document of the catalogue; a new one starts with `stored_before`."""
        known = await self._documents.find_one_and_update(
            {"_id": catalogue},
            {"$setOnInsert": {"stored": stored_before, "numbers": {}}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        assert known is not None
        return known

    async def _forget(self, known: Document, name: str) -> Document:
        """Forget that the default was stored, unless another start has just stored it again."""
        path = f"numbers.{name}"
        await self._documents.update_one(
            {"_id": known["_id"], "stored": name, path: known["numbers"].get(name)},
            {"$pull": {"stored": name}, "$unset": {path: ""}},
        )
        return await self._known(known["_id"], [])

    async def _number(self, known: Document, name: str) -> int:
        """The number of the default, reserved by the first start that asks."""
        if number := known["numbers"].get(name):
            return int(number)
        path, new = f"numbers.{name}", await self._counters.next(known["_id"])
        await self._documents.update_one({"_id": known["_id"], path: None}, {"$set": {path: new}})
        return int((await self._known(known["_id"], []))["numbers"][name])


def _stored_before(
    rows: Sequence[Document], defaults: Mapping[str, Document], is_default: IsDefault
) -> list[str]:
    """Names of the defaults that a database of an earlier version already has.

    That version stored them in order and numbered them from 1: the one at position 5 has the number
    5 or, after two starts at once, a higher one. Those before the last one that is found were
    stored as well, even if an operator has deleted or changed them since. A row with a lower number
    is an operator's own, and makes the default unnecessary.
    """
    last, found = 0, set()
    for position, (name, fields) in enumerate(defaults.items(), 1):
        numbers = [row["id"] for row in rows if is_default(row, fields, position)]
        if numbers:
            found.add(name)
        if any(number >= position for number in numbers):
            last = position
    return [name for position, name in enumerate(defaults, 1) if position <= last or name in found]
