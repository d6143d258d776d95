"""Garbage collector tuning: freezes objects that live as long as a socket.

Traversing 10,000 sockets repeatedly made every handshake a seventh more expensive, and blocked the
event loop meanwhile. An open socket has no reference cycles, so it is freed when it closes, even if
frozen (a request may have cycles, but is garbage by the time of a freeze). Other objects in flight
at a freeze that become cyclic garbage are collected once an hour.
"""

import gc
import time
from collections.abc import Callable

GEN0_THRESHOLD = 50_000
"""New objects before the youngest generation is collected: 3 ms at most."""
FREEZE_THRESHOLD = 256
"""New sockets since the last freeze that are worth another."""
FULL_COLLECT_SECONDS = 3_600.0
"""Interval of full collections, which block for some 50 ms at 10,000 sockets."""


def freeze_startup_objects() -> None:
    """Freeze everything that exists; call once after startup, when all of it is permanent."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GEN0_THRESHOLD, *gc.get_threshold()[1:])


class GcTuner:
    """Freezes new sockets, and runs the hourly full collection."""

    def __init__(self, sockets: Callable[[], int]) -> None:
        self._sockets = sockets
        self._frozen_sockets = 0
        self._full_at = time.monotonic()

    def run(self) -> None:
        now, sockets = time.monotonic(), self._sockets()
        full = now - self._full_at >= FULL_COLLECT_SECONDS
        if not full and sockets - self._frozen_sockets < FREEZE_THRESHOLD:
            return
        if full:
            gc.unfreeze()
            self._full_at = now
        gc.collect()  # unless `full`, only what is new: the rest is frozen
        gc.freeze()
        self._frozen_sockets = sockets
