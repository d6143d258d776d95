"""A hub on a room that is not there, and people who write down what they were told."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from realtime.bus import LocalBus
from realtime.codes import Code
from realtime.fanout import SLICE, Pace
from realtime.hub import Hub
from realtime.opening import Look, Since
from rooms.events import Numbered

ROOM = 7


class Stored:
    """The room as the database has it, and its log."""

    def __init__(self) -> None:
        self.epoch = "a"
        self.log: list[Numbered] = []
        self.away = False
        self.meanwhile: Callable[[], None] = lambda: None

    def save(self, type_: str = "profile") -> Numbered:
        self.log.append(Numbered(self.epoch, len(self.log) + 1, 0, type_, {}))
        return self.log[-1]

    def begin_anew(self, epoch: str) -> None:
        self.epoch, self.log = epoch, []

    async def log_since(self, _room: int, epoch: str, seq: int) -> list[Numbered] | None:
        found = self.log[seq:] if epoch == self.epoch and seq <= len(self.log) else None
        await self._wait()
        return found

    async def versions(self, live_ids: list[int]) -> dict[int, tuple[str, int]]:
        found = {live_id: (self.epoch, len(self.log)) for live_id in live_ids}
        await self._wait()
        return found

    async def look(self) -> Look:
        seen = Look(self.epoch, len(self.log), {})
        await self._wait()
        return seen

    async def _wait(self) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise ConnectionError
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()


class Ear:
    """One socket that writes down what it was told."""

    def __init__(self, user_id: str = "1", number: int = 0, token_id: str = "") -> None:
        self.user_id, self.number, self.token_id = user_id, number, token_id
        self.closed = self.waits_too_long = False
        self.heard_at = self.next_beat = 0.0
        self.code: Code | None = None
        self.retry_ms: int | None = None
        self.heard: list[dict[str, Any]] = []

    def begin(self, frames: bytes) -> None:
        self.send(frames)

    def send(self, wire: bytes) -> None:
        assert not self.closed
        while wire:  # every frame here is short of 126 bytes
            size = wire[1]
            self.heard.append(json.loads(wire[2 : 2 + size]))
            wire = wire[2 + size :]

    def push(self, wire: bytes) -> int:
        if not self.closed:
            self.send(wire)
        return len(wire)

    beat = send

    def late(self, _now: float, _seconds: float) -> bool:
        return self.waits_too_long and not self.closed

    def cut(self, *, at_once: bool = False) -> None:
        assert at_once
        self.bye(Code.SLOW)

    def bye(self, code: Code, retry_ms: int | None = None) -> None:
        """Once, as an outbox says it."""
        if not self.closed:
            self.code, self.retry_ms, self.closed = code, retry_ms, True

    @property
    def words(self) -> list[tuple[str, int]]:
        return [(frame["type"], frame["seq"]) for frame in self.heard]


class Scene:
    """A hub on a stored room."""

    def __init__(self, slice_: int = SLICE) -> None:
        self.stored = Stored()
        self.hub = Hub(self.stored, LocalBus(), Pace(slice_))

    def happen(self, *types: str) -> None:
        for type_ in types or ("profile",):
            self.hint(self.stored.save(type_))

    def hint(self, event: Numbered) -> None:
        self.hub.tell(ROOM, [event])

    async def join(
        self,
        ear: Ear | None = None,
        since: Since | None = None,
        look: Callable[[], Awaitable[Look]] | None = None,
    ) -> Ear:
        ear = ear or Ear()
        self.hub.arrive(ear)  # type: ignore[arg-type]
        await self.hub.join(ROOM, ear, since, look or self.stored.look)  # type: ignore[arg-type]
        return ear

    async def settle(self) -> None:
        while self.hub._filling:
            await asyncio.sleep(0)


def events(first: int, last: int) -> list[tuple[str, int]]:
    return [("profile", n) for n in range(first, last + 1)]
