"""Caches gifts and exchange rates, and invalidates the cache when an operator changes them."""

import asyncio
import time
from decimal import Decimal
from typing import Any, NamedTuple

from core.batching import SingleFlight
from realtime.bus import Bus, BusMessage, CatalogueChanged
from services.errors import RateRequired
from storage.catalogue import GiftStore
from storage.configs import ConfigStore
from storage.database import Document

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
    """Reads the catalogue through a cache, and changes gifts and configs.

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
        bus.subscribe(self._on_message)

    async def current(self) -> Catalogue:
        return self._valid() or await self._reads.get(self._edits, self._bus.gaps)

    async def add_gift(self, **fields: Any) -> Document:
        row = await self._gifts.add(**fields)
        self._invalidate()
        return row

    async def edit_gift(self, number: int, **changes: Any) -> Document:
        """Change a gift; returns all its fields. Raises GiftNotFound."""
        row = await self._gifts.edit(number, **changes)
        self._invalidate()
        return row

    async def remove_gift(self, number: int) -> None:
        """Delete a gift. Raises GiftNotFound."""
        await self._gifts.remove(number)
        self._invalidate()

    async def add_config(self, **fields: Any) -> Document:
        row = await self._configs.add(**fields)
        self._invalidate()
        return row

    async def edit_config(self, number: int, **changes: Any) -> Document:
        """Change a config; returns all its fields. Raises NotFound, RateRequired."""
        if changes.get("enabled") is False or "key" in changes:
            await self._check_rate_stays(number, **changes)
        row = await self._configs.edit(number, **changes)
        self._invalidate()
        return row

    async def remove_config(self, number: int) -> None:
        """Delete a config. Raises NotFound, RateRequired."""
        await self._check_rate_stays(number, enabled=False)
        await self._configs.remove(number)
        self._invalidate()

    async def _check_rate_stays(self, number: int, **changes: Any) -> None:
        """Raise RateRequired if the change takes away the only enabled row of a rate."""
        old = await self._configs.get(number)
        new = {**old, **changes}
        stays = new["enabled"] and new["key"] == old["key"]
        if not stays and await self._configs.is_only_rate(old):
            raise RateRequired

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

    def _invalidate(self) -> None:
        """Invalidate the cache of every process, including this one."""
        self._bus.publish(CatalogueChanged())

    def _on_message(self, message: BusMessage) -> None:
        if isinstance(message, CatalogueChanged):
            self._edits += 1
