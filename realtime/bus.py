"""What the processes tell each other; in one process, what the hub tells itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from realtime.codes import Code

log = structlog.get_logger("qlive.bus")


@dataclass(frozen=True, slots=True)
class Told:
    """One saved event, encoded once. A hint: it may be lost, doubled or late."""

    live_id: int
    epoch: str
    seq: int
    frame: bytes
    last: bool
    saved_at: float = 0.0
    """When, in unix seconds."""


@dataclass(frozen=True, slots=True)
class Stirred:
    """The number of people in a room may have changed."""

    live_id: int


@dataclass(frozen=True, slots=True)
class ShownOut:
    """Somebody's socket is to be closed, in one room or (None) wherever it is; with a `number`,
    only if it is no newer one than that: such a word may come when they are back already."""

    user_id: str
    live_id: int | None
    code: Code
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Arrived:
    """Somebody's newest socket: of one person in one life the highest number stays."""

    live_id: int
    epoch: str
    user_id: str
    number: int


@dataclass(frozen=True, slots=True)
class Revoked:
    """A token that opens nothing any more, by its hash."""

    token_id: str


@dataclass(frozen=True, slots=True)
class Edited:
    """Operators have changed what is kept in memory: gifts or configs."""


Message = Told | Stirred | ShownOut | Arrived | Revoked | Edited
Hear = Callable[[Message], None]


class Bus(Protocol):
    """Between the hubs of all processes. What is published is heard here at once, elsewhere
    soon or, when something breaks, not at all: see `gaps`."""

    healthy: bool
    gaps: int
    """Grows whenever something may have been missed."""

    def listen(self, hear: Hear) -> None: ...

    def publish(self, message: Message) -> None:
        """Never waits, never raises."""

    async def follow(self, live_id: int) -> None:
        """Hear of this room from now on; returns when that is so, or after a moment in vain."""

    def unfollow(self, live_id: int) -> None: ...

    async def close(self) -> None: ...


class LocalBus:
    """The bus of a single process: whoever listens hears at once, in order."""

    def __init__(self) -> None:
        self.healthy = True
        self.gaps = 0
        self._ears: list[Hear] = []

    def listen(self, hear: Hear) -> None:
        self._ears.append(hear)

    def publish(self, message: Message) -> None:
        for hear in self._ears:
            try:
                hear(message)
            except Exception:  # what was saved stays saved, whatever an ear makes of it
                log.exception("word_not_heard", kind=type(message).__name__)

    async def follow(self, live_id: int) -> None:
        """Everything is heard anyway."""

    def unfollow(self, live_id: int) -> None:
        """Everything is heard anyway."""

    async def close(self) -> None:
        """There is nothing to close."""
