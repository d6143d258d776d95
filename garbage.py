"""Python's garbage collector, off the hot path: what lives as long as a socket is set aside.

Looking through 10,000 sockets again and again cost every handshake a seventh more, and blocked the
event loop for as long as it took. An open socket has no cycles, so it goes when it closes,
collector or not (a request may have some, and is garbage by the time it is looked at); what else
happened to be in flight and becomes garbage in cycles is found once an hour.
"""

import gc
import time
from collections.abc import Callable

FIRST = 50_000
"""New objects before the youngest are looked through: 3 ms at most."""
MANY = 256
"""So many more sockets than ever before are worth setting aside."""
WHOLE_SECONDS = 3_600.0
"""How often everything is looked through, which blocks for some 50 ms at 10,000 sockets."""


def settle() -> None:
    """To be called once, when the process has begun: all that there is will stay."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(FIRST, *gc.get_threshold()[1:])


class Garbage:
    """Sets aside sockets as they come."""

    def __init__(self, sockets: Callable[[], int]) -> None:
        self._sockets = sockets
        self._aside = 0
        self._whole_at = time.monotonic()

    async def look(self) -> None:
        now, sockets = time.monotonic(), self._sockets()
        whole = now - self._whole_at >= WHOLE_SECONDS
        if not whole and sockets - self._aside < MANY:
            return
        if whole:
            gc.unfreeze()
            self._whole_at = now
        gc.collect()  # without `whole`, of what has come since: the rest is aside
        gc.freeze()
        self._aside = sockets
