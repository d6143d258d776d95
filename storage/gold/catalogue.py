"""Catalogues maintained by operators: documents numbered from 1.

gifts: the gift catalogue; `gold` is the unit price. blocks: the recharge catalogue; an amount of
gold for a price in fen. configs: keys and JSON values for the mini-program, and the two exchange
rates, of which each has one row.

A row may have `next`: fields that change at a time. Each read applies them once the time has come.
"""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from operator import itemgetter
from typing import Any

from pymongo.errors import DuplicateKeyError

from core.errors import NotFound, StartupError
from ledger.gifts import RATE_KEYS, rate_from, row_at
from storage.database import Collection, Database, Document, Session
from storage.documents import change_one
from storage.errors import BlockNotFound, GiftNotFound, NothingWaits, RateRequired

LIST_KEYS = ("PROGRAM_SHARE", "LIVEROOM_SHARE")
"""Keys with a list of values, each a document of its own."""
NESTED = ("next", "fields")
"""A change that waits is {"next": {"fields": …, "at": …}}."""
TWO_ROWS = (
    "EXCHANGE_RATE or WITHDRAW_RATE has several documents in the collection `configs`: delete all"
    " but the one that is to apply, then start again."
)
_IMAGES = "https://images.daqinjia.cn/qlive/"
_COUPLE = "7a4d1e70-ba76-11e9-8d1e-8c89a53fe892.png"


class CatalogueStore:
    """One catalogue; `not_found_error` is raised for an unknown id."""

    name: str
    not_found_error: type[NotFound] = NotFound
    order: tuple[str, ...] = ("id",)

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows: Collection = database.collection(self.name)

    def to_row(self, fields: Document) -> Document:
        return fields

    async def find(self, number: int) -> Document | None:
        row = await self._rows.find_one({"_id": number})
        return self._item(row) if row else None

    async def get(self, number: int) -> Document:
        if row := await self.find(number):
            return row
        raise self.not_found_error

    async def all(self) -> list[Document]:
        rows = [self._item(row) for row in await self._rows.find().to_list()]
        return sorted(rows, key=itemgetter(*self.order))

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

    async def edit(self, number: int, *, session: Session | None = None, **fields: Any) -> Document:
        """Set fields of a row, after the fields of a `next` that has come."""
        if not fields:
            return await self.get(number)
        has_come = {"$lte": ["$next.at", datetime.now(UTC)]}  # also without a `next`
        own = {"$cond": [has_come, "$next.fields", {}]}
        changed = {"$mergeObjects": ["$$ROOT", own, {"$literal": self.to_row(fields)}]}
        row = await change_one(self._rows, {"_id": number}, [{"$replaceWith": changed}], session)
        if row is None:
            raise self.not_found_error
        return self._item(row)

    async def unschedule(self, number: int) -> Document:
        """Drop the `next` of a row. Raises NothingWaits if it has none, or it has come."""
        waits = {"_id": number, "next.at": {"$gt": datetime.now(UTC)}}
        row = await change_one(self._rows, waits, {"$unset": {"next": ""}})
        if row is None:
            await self.get(number)
            raise NothingWaits
        return self._item(row)

    async def remove(self, number: int, *, session: Session | None = None) -> None:
        result = await self._rows.delete_one({"_id": number}, session=session)
        if not result.deleted_count:
            raise self.not_found_error

    def _item(self, row: Document) -> Document:
        return {"id": row.pop("_id"), **row_at(row, datetime.now(UTC))}


class GiftStore(CatalogueStore):
    name, not_found_error = "gifts", GiftNotFound


class RechargeBlockStore(CatalogueStore):
    name, not_found_error = "blocks", BlockNotFound
    order = ("fen", "id")


def _config(key: str, value: Any, remark: str = "") -> Document:
    return {"key": key, "value": value, "enabled": True, "remark": remark}


def _share(key: str, title: str, picture: str) -> Document:
    return _config(key, {"title": title, "src": _IMAGES + picture})


DEFAULTS = [
    _share("PROGRAM_SHARE", "优质好男人都在这里等你！", "7a0d0740-ba76-11e9-a743-8c89a53fe892.png"),
    _share("PROGRAM_SHARE", "单身相亲女士聚集地", "7a265bfe-ba76-11e9-95a3-8c89a53fe892.png"),
    _share("PROGRAM_SHARE", "介绍对象也能赚钱？", "7a538728-ba76-11e9-a5d8-8c89a53fe892.png"),
    _share(
        "PROGRAM_SHARE", "一大波优质相亲者在这里等你", "7a452f12-ba76-11e9-acbc-8c89a53fe892.png"
    ),
    _share("LIVEROOM_SHARE", "又有一对情侣在一起了", _COUPLE),
    _share("LIVEROOM_SHARE", "介绍对象成功了", _COUPLE),
    _share("LIVEROOM_SHARE", "牵线又一次成功，你来吗？", _COUPLE),
    _config("INDEX_BANNER", f"{_IMAGES}b91f4cdc-b8ee-11e9-a4e5-8c89a53fe892.png"),
    _config(
        "BACKGROUND",
        {
            "color": "#f69c9a",
            "height": 1954,
            "src": f"{_IMAGES}0eace3c6-b9c2-11e9-aec7-8c89a53fe892.png",
        },
    ),
    _config("EXCHANGE_RATE", 0.5, "income per gold of a gift"),
    _config("WITHDRAW_RATE", 0.1, "yuan per income withdrawn"),
]
"""Stored by the first start."""


class ConfigStore(CatalogueStore):
    """Stores values as JSON text, since BSON cannot represent every JSON value."""

    name = "configs"

    async def make_indexes(self) -> None:
        """Make the index by which a rate has one row. Raises StartupError if a rate has several."""
        of_rates = {"key": {"$in": [*RATE_KEYS]}}
        try:
            await self._rows.create_index("key", unique=True, partialFilterExpression=of_rates)
        except DuplicateKeyError:
            raise StartupError(TWO_ROWS) from None

    async def add(self, *, session: Session | None = None, **fields: Any) -> Document:
        """Add a config. Raises RateRequired for a second row of a rate."""
        try:
            return await super().add(session=session, **fields)
        except DuplicateKeyError:
            raise RateRequired from None

    def to_row(self, fields: Document) -> Document:
        return _with_values(fields, json.dumps)

    def _item(self, row: Document) -> Document:
        return _with_values(super()._item(row), json.loads)

    async def public_values(self) -> dict[str, Any]:
        """Return the enabled configs without the rates, as the mini-program reads them."""
        configs: dict[str, Any] = {}
        for row in await self.all():
            if not row["enabled"] or row["key"] in RATE_KEYS:
                continue
            if row["key"] in LIST_KEYS:
                configs.setdefault(row["key"], []).append(row["value"])
            else:
                configs[row["key"]] = row["value"]
        return configs

    async def rates(self, now: datetime) -> dict[str, Decimal | None]:
        """Return the RATE_KEYS at `now`; None for one that is missing, disabled or no rate."""
        found = self._rows.find({"key": {"$in": [*RATE_KEYS]}, "enabled": True})
        rates = {row["key"]: json.loads(row_at(row, now)["value"]) async for row in found}
        return {key: rate_from(rates.get(key)) for key in RATE_KEYS}


def _with_values(fields: Document, convert: Callable[[Any], Any]) -> Document:
    """Return the fields with each `value` converted, also in a change that waits."""
    inner = {name: _with_values(fields[name], convert) for name in NESTED if name in fields}
    values = {"value": convert(fields["value"])} if "value" in fields else {}
    return {**fields, **inner, **values}
