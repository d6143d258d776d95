"""One direction of a proxied connection: delays, holds or drops bytes."""

import asyncio
from collections import deque
from dataclasses import dataclass


@dataclass
class NetworkConditions:
    """Current conditions of one direction, shared by all connections of a proxy."""

    delay: float = 0.0
    """Seconds by which all data is delayed; the order is preserved."""
    held: bool = False
    """Nothing is delivered until this ends; then all held data is."""
    black_hole: bool = False
    """Data is dropped silently, and so is everything after it on that connection."""
    reset_probability: float = 0.0
    """Probability, per chunk of data, that the whole connection is reset."""

    def clear(self) -> None:
        self.delay, self.held, self.black_hole, self.reset_probability = 0.0, False, False, 0.0


class Pipe:
    """Delivers bytes to `sink` in order, as the conditions permit; None means EOF."""

    def __init__(self, conditions: NetworkConditions) -> None:
        self.conditions = conditions
        self.sink: asyncio.Transport | None = None
        self._queue: deque[tuple[float, bytes | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def put(self, data: bytes | None) -> None:
        now = asyncio.get_running_loop().time()
        self._queue.append((now + self.conditions.delay, data))
        self.flush()

    def flush(self) -> None:
        """Deliver all data that is due."""
        loop = asyncio.get_running_loop()
        if self.sink is None or self.conditions.held:
            return
        while self._queue:
            due, data = self._queue[0]
            if due > loop.time():
                if self._timer is None:
                    self._timer = loop.call_at(due, self._on_timer)
                return
            self._queue.popleft()
            self._deliver(data)

    def stop(self) -> None:
        self._queue.clear()
        if self._timer:
            self._timer.cancel()

    def _on_timer(self) -> None:
        self._timer = None
        self.flush()

    def _deliver(self, data: bytes | None) -> None:
        assert self.sink is not None
        if self.sink.is_closing():
            return
        if data is None:
            self.sink.close()
        else:
            self.sink.write(data)
