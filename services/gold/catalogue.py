"""Caches gifts and exchange rates, and invalidates the cache when an operator changes them."""

import asyncio
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from core.batching import SingleFlight
from core.cache import Cache
from core.clock import day_of
from core.errors import InvalidParameter
from ledger.gifts import RATE_KEYS, from_midnight, price_fields, rate_from
from realtime.bus import Bus, CatalogueChanged
from services.errors import RateMissing
from storage.database import Document
from storage.errors import GiftNotFound, RateRequired
from storage.gold.catalogue import CatalogueStore, ConfigStore, GiftStore

TTL_SECONDS = 30.0
"""TTL of the cache, in case a change is never received."""


class Catalogue(NamedTuple):
    """Gifts and rates, read at the same time."""

    gifts: dict[int, dict[str, Any]]
    """By id, in display order."""
    rate: Decimal | None
    """The receiver's share of a gift's price; None if it is missing: no gift can be given."""
    withdraw_rate: Decimal | None

    def priced(self, gift_id: int) -> tuple[dict[str, Any], Decimal]:
        """Return a gift and the receiver's share. Raises GiftNotFound or RateMissing."""
        if gift_id not in self.gifts:
            raise GiftNotFound
        if self.rate is None:
            raise RateMissing
        return self.gifts[gift_id], self.rate


class CatalogueService:
    """Reads the catalogue through a cache, and changes gifts, configs and recharge blocks.

    Read again after a change in any process, at midnight in China, when changed rates apply, and
    whenever the bus may have lost a change. Callers that need a read at the same time share it,
    except with a read from before a change.
    """

    def __init__(self, gifts: GiftStore, configs: ConfigStore, bus: Bus) -> None:
        self._gifts = gifts
        self._configs = configs
        self._bus = bus
        self._cache: Cache[str, Catalogue] = Cache(TTL_SECONDS, 1, version=self._version)
        # Through the cache, which a read that was under way when the callers came may have filled.
        self._reads = SingleFlight(lambda _generation: self._cache.load("", self._read))
        bus.subscribe(lambda _changed: self._cache.clear(), CatalogueChanged)

    async def current(self) -> Catalogue:
        return self._cache.get("") or await self._reads.get(self._cache.generation)

    async def change(
        self, store: CatalogueStore, before: Document, fields: Document | None
    ) -> Document:
        """Write as `write`, without a transaction, and invalidate the cache."""
        row = await self.write(store, before, fields)
        self.invalidate()
        return row

    async def write(
        self,
        store: CatalogueStore,
        before: Document,
        fields: Document | None,
        session: Any = None,
    ) -> Document:
        """Add a row, if there was none before; set its `fields`, or remove it if they are None.

        Fields of worth change at the next midnight in China, in place of another change that waits.
        Return the row, {} if it was removed. Call `invalidate` once the change is committed. Raises
        NotFound or RateRequired.
        """
        await self.check_rate(before, fields)
        if not before:
            return await store.add(session=session, **(fields or {}))
        if fields is None:
            await store.remove(before["id"], session=session)
            return {}
        names = price_fields({**before, **fields})
        if worth := {name: fields[name] for name in names if name in fields}:
            fields = {name: fields[name] for name in fields if name not in worth}
            fields["next"] = from_midnight(worth, datetime.now(UTC))
        return await store.edit(before["id"], session=session, **fields)

    async def unschedule(self, store: CatalogueStore, number: int) -> Document:
        """Drop a change that waits for midnight; return the row. Raises NotFound, NothingWaits."""
        row = await store.unschedule(number)
        self.invalidate()
        return row

    async def check_rate(self, before: Document, fields: Document | None) -> None:
        """Check a change of a config: each rate keeps its one row, enabled and with a valid value.

        Raises RateRequired or InvalidParameter.
        """
        after = {**before, **(fields or {})}
        key = after.get("key", "")
        if not {key, before.get("key")} & {*RATE_KEYS}:
            return
        if key in RATE_KEYS and rate_from(after["value"]) is None:
            raise InvalidParameter({"value": "a rate is a number above 0 and at most 1"})
        stays = fields is not None and after["enabled"] and before.get("key", key) == key
        is_second = not before and (await self._configs.rates(datetime.now(UTC)))[key] is not None
        if is_second or not stays:
            raise RateRequired

    def invalidate(self) -> None:
        """Invalidate the cache of every process, including this one."""
        self._bus.publish(CatalogueChanged())

    def _version(self) -> tuple[int, date] | None:
        version = self._bus.cache_version()
        return None if version is None else (version, day_of(datetime.now(UTC)))

    async def _read(self) -> Catalogue:
        now = datetime.now(UTC)
        rows, rates = await asyncio.gather(self._gifts.all(), self._configs.rates(now))
        gifts = {row["id"]: row for row in rows}
        return Catalogue(gifts, rates["EXCHANGE_RATE"], rates["WITHDRAW_RATE"])
