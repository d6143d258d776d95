"""Python's garbage collector, off the hot path: what lives as long as a socket is set aside.

Looking through 10,000 sockets again and again was half of what their handshakes cost, and blocked
the event loop for as long as it took. Nothing is lost by setting aside what stands: an open socket
has no cycles (its HTTP request, which has, is garbage by the time that it is looked at), so it goes
when it closes, collector or not.
"""

import gc
from collections.abc import Callable

FIRST = 50_000
"""New objects before the youngest are looked through: 3 ms at most."""
MANY = 256
"""So many more sockets than last time are worth setting aside."""


def settle() -> None:
    """To be called once, when the process has begun: all that there is will stay."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(FIRST, *gc.get_threshold()[1:])


class Garbage:
    """Sets aside sockets as they come."""

    def __init__(self, sockets: Callable[[], int]) -> None:
        self._sockets = sockets
        self._before = 0

    async def look(self) -> None:
        now = self._sockets()
        if now - self._before >= MANY:
            gc.collect()  # of what has come since: the rest is aside
            gc.freeze()
            self._before = now
        self._before = min(self._before, now)
