"""Caches gifts and exchange rates, and invalidates the cache when an operator changes them."""

import asyncio
import time
from decimal import Decimal
from typing import Any, NamedTuple

from core.batching import SingleFlight
from core.errors import InvalidParameter
from ledger.rates import RATE_KEYS, rate_from
from realtime.bus import Bus, CatalogueChanged
from services.errors import RateRequired
from storage.database import Document
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

    @property
    def has_rates(self) -> bool:
        return self.rate is not None and self.withdraw_rate is not None


class CatalogueService:
    """Reads the catalogue through a cache, and changes gifts, configs and recharge blocks.

    Read again after a change in any process, and whenever the bus may have lost one. Callers that
    need a read at the same time share it, except with a read from before a change.
    """

    def __init__(self, gifts: GiftStore, configs: ConfigStore, bus: Bus) -> None:
        self._gifts = gifts
        self._configs = configs
        self._bus = bus
        self._edits = 0
        self._cached: tuple[Catalogue, tuple[int, int], float] | None = None
        self._reads = SingleFlight(self._read)
        bus.subscribe(self._on_changed, CatalogueChanged)

    async def current(self) -> Catalogue:
        return self._valid() or await self._reads.get(self._edits, self._bus.gaps)

    async def change(
        self, store: CatalogueStore, before: Document, fields: Document | None
    ) -> Document:
        """As `write`, without a transaction; invalidates the cache."""
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

        Returns the row, {} if it was removed. Raises NotFound, also if its key has changed since
        `before`, and RateRequired. Call `invalidate` once the change is committed.
        """
        await self.check_rate(before, fields)
        if not before:
            return await store.add(session=session, **(fields or {}))
        expected = {"key": before["key"]} if "key" in before else {}
        if fields is None:
            await store.remove(before["id"], expected=expected, session=session)
            return {}
        return await store.edit(before["id"], expected=expected, session=session, **fields)

    async def check_rate(self, before: Document, fields: Document | None) -> None:
        """Check a change of a config: each rate keeps an enabled row, and each row a valid value.

        Raises RateRequired or InvalidParameter.
        """
        after = {**before, **({"enabled": False} if fields is None else fields)}
        if fields and after.get("key") in RATE_KEYS and rate_from(after["value"]) is None:
            raise InvalidParameter({"value": "a rate is a number above 0 and at most 1"})
        if before.get("key") not in RATE_KEYS:
            return
        stays = after["enabled"] and after["key"] == before["key"]
        if not stays and await self._configs.is_only_rate(before):
            raise RateRequired

    def invalidate(self) -> None:
        """Invalidate the cache of every process, including this one."""
        self._bus.publish(CatalogueChanged())

    def _valid(self) -> Catalogue | None:
        """The cached catalogue, unless it has expired or may have changed."""
        if self._cached is None or not self._bus.healthy:
            return None
        catalogue, version, read_at = self._cached
        is_current = version == (self._edits, self._bus.gaps)
        return catalogue if is_current and time.monotonic() - read_at < TTL_SECONDS else None

    async def _read(self, edits: int, gaps: int) -> Catalogue:
        """Read the catalogue for callers at this version, which an edit meanwhile makes invalid."""
        if valid := self._valid():  # cached by a read that was under way when the callers came
            return valid
        read_at = time.monotonic()
        rows, rates = await asyncio.gather(self._gifts.all(), self._configs.rates())
        gifts = {row["id"]: row for row in rows}
        catalogue = Catalogue(gifts, rates["EXCHANGE_RATE"], rates["WITHDRAW_RATE"])
        self._cached = catalogue, (edits, gaps), read_at
        return catalogue

    def _on_changed(self, _message: CatalogueChanged) -> None:
        self._edits += 1
