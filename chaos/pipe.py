"""One direction of one connection through the proxy: what passes, what waits, what is lost."""

import asyncio
from collections import deque
from dataclasses import dataclass


@dataclass
class Weather:
    """What a direction suffers from at the moment; every connection of a proxy looks here."""

    delay: float = 0.0
    """Seconds by which everything comes later; the order stays."""
    held: bool = False
    """Nothing moves until it clears up, then everything does."""
    swallowing: bool = False
    """Whatever is sent vanishes, and with it the rest of that connection."""
    loss: float = 0.0
    """The chance, per piece of data, that the whole connection is reset."""

    def clear(self) -> None:
        self.delay, self.held, self.swallowing, self.loss = 0.0, False, False, 0.0


class Pipe:
    """Carries bytes to `sink` in order, as late as the weather wants; None stands for the end."""

    def __init__(self, weather: Weather) -> None:
        self.weather = weather
        self.sink: asyncio.Transport | None = None
        self._waiting: deque[tuple[float, bytes | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def put(self, data: bytes | None) -> None:
        now = asyncio.get_running_loop().time()
        self._waiting.append((now + self.weather.delay, data))
        self.flow()

    def flow(self) -> None:
        """Pass on whatever is due."""
        loop = asyncio.get_running_loop()
        if self.sink is None or self.weather.held:
            return
        while self._waiting:
            due, data = self._waiting[0]
            if due > loop.time():
                if self._timer is None:
                    self._timer = loop.call_at(due, self._wake)
                return
            self._waiting.popleft()
            self._pass(data)

    def stop(self) -> None:
        self._waiting.clear()
        if self._timer:
            self._timer.cancel()

    def _wake(self) -> None:
        self._timer = None
        self.flow()

    def _pass(self, data: bytes | None) -> None:
        assert self.sink is not None
        if self.sink.is_closing():
            return
        if data is None:
            self.sink.close()
        else:
            self.sink.write(data)
