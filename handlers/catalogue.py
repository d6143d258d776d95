"""What there is to give and how it earns, kept as it was read until somebody changes it."""

import time
from decimal import Decimal
from typing import Any, NamedTuple

from realtime.bus import Bus, Edited, Message
from storage.configs import Configs
from storage.gifts import Gifts

OLD_SECONDS = 30.0
"""Nothing is kept for longer, whatever was not heard."""


class Wares(NamedTuple):
    """All of it, as it was read at one time."""

    gifts: dict[int, dict[str, Any]]
    """By id, in the order in which they are shown."""
    rate: Decimal
    """The receiver's share."""
    withdraw_rate: Decimal


class Catalogue:
    """Read once for all; read again after an edit on any process, and whenever the bus may have
    missed one."""

    def __init__(self, gifts: Gifts, configs: Configs, bus: Bus) -> None:
        self._gifts = gifts
        self._rate = configs.rate
        self._bus = bus
        self._edits = 0
        self._kept: tuple[Wares, tuple[int, int], float] | None = None
        bus.listen(self._hear)

    async def wares(self) -> Wares:
        now, state = time.monotonic(), (self._edits, self._bus.gaps)
        if self._kept and self._bus.healthy:
            wares, of, read_at = self._kept
            if of == state and now - read_at < OLD_SECONDS:
                return wares
        gifts = {row["id"]: row for row in await self._gifts.all()}
        wares = Wares(gifts, await self._rate("EXCHANGE_RATE"), await self._rate("WITHDRAW_RATE"))
        self._kept = wares, state, now  # an edit meanwhile has made another state
        return wares

    def edited(self) -> None:
        """Tell every process, this one included."""
        self._bus.publish(Edited())

    def _hear(self, message: Message) -> None:
        if isinstance(message, Edited):
            self._edits += 1
