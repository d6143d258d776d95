"""A hub on an in-memory room, and writers that record what they receive."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from realtime.bus import Bus, ChannelChanged
from realtime.channel import SLICE_SIZE, Fanout
from realtime.frames import PING, CloseCode, Key
from realtime.hub import Hub
from realtime.resume import ResumePosition, Source, View
from rooms.events import NumberedEvent
from rooms.members import MemberSocket
from tests.support.waiting import until

ROOM, USER = 7, "10000001"
"""Keys of a room's channel and of a user channel."""


async def no_data() -> dict[str, Any]:
    """The data of a snapshot that shows nothing."""
    return {}


class StoredRoom:
    """The stored room and its event log, in memory.

    `after_read` runs once, between the next read and its return. Events before `oldest` are no
    longer in the log.
    """

    def __init__(self) -> None:
        self.epoch = "a"
        self.log: list[NumberedEvent] = []
        self.oldest = 1
        self.live = True
        self.unavailable = False
        self.after_read: Callable[[], None] = lambda: None

    def save(self, type_: str = "profile") -> NumberedEvent:
        self.log.append(NumberedEvent(self.epoch, len(self.log) + 1, 0, type_, {}))
        return self.log[-1]

    def start_epoch(self, epoch: str) -> None:
        self.epoch, self.log = epoch, []

    async def log_since(self, _room: int, epoch: str, seq: int) -> list[NumberedEvent] | None:
        has_all = epoch == self.epoch and self.oldest - 1 <= seq <= len(self.log)
        events = self.log[seq:] if has_all else None
        await self._wait()
        return events

    async def versions(self, live_ids: list[int]) -> dict[int, tuple[str, int]]:
        versions = {live_id: (self.epoch, len(self.log)) for live_id in live_ids}
        await self._wait()
        return versions

    async def load_view(self) -> View:
        view = View(self.epoch, len(self.log), no_data)
        await self._wait()
        return view

    async def load_room(self, _live_id: int) -> View | None:
        view = await self.load_view()
        return view if self.live else None

    async def _wait(self) -> None:
        await asyncio.sleep(0)
        if self.unavailable:
            raise ConnectionError
        after_read, self.after_read = self.after_read, lambda: None
        after_read()


class WriterSpy:
    """A writer that records frames and its close code."""

    def __init__(self, user_id: str = "1", number: int = 0, token_id: str = "") -> None:
        self.user_id, self.number, self.token_id = user_id, number, token_id
        self.closed = self.stalled = False
        self.received_at = self.next_heartbeat = 0.0
        self.code: CloseCode | None = None
        self.retry_ms: int | None = None
        self.received: list[dict[str, Any]] = []
        self.member_socket = MemberSocket(user_id, ROOM, "a", number)

    def begin(self, frames: bytes) -> None:
        self.send(frames)

    def send(self, wire: bytes) -> None:
        assert not self.closed
        while wire:  # every payload here is shorter than 126 bytes
            size = wire[1]
            if wire[:2] != PING:
                self.received.append(json.loads(wire[2 : 2 + size]))
            wire = wire[2 + size :]

    def push(self, wire: bytes) -> int:
        if not self.closed:
            self.send(wire)
        return len(wire)

    def is_stalled(self, _now: float, _seconds: float) -> bool:
        return self.stalled and not self.closed

    def disconnect_slow(self, *, at_once: bool = False) -> None:
        assert at_once
        self.close(CloseCode.SLOW)

    def close(self, code: CloseCode, retry_ms: int | None = None) -> None:
        """Only the first call counts, as in Outbox."""
        if not self.closed:
            self.code, self.retry_ms, self.closed = code, retry_ms, True

    @property
    def received_events(self) -> list[tuple[str, int]]:
        return [(frame["type"], frame["seq"]) for frame in self.received]


class HubFixture:
    """A hub on a StoredRoom."""

    def __init__(self, slice_: int = SLICE_SIZE, key: Key = ROOM) -> None:
        """With the key USER, the stored events are those of a user channel."""
        self.stored, self.key = StoredRoom(), key
        new_fanout = partial(Fanout, slice_size=slice_, gather_seconds=0)
        self.bus = Bus()
        source = Source(self.stored, self.stored.load_room)
        self.hub = Hub(source, source, self.bus, new_fanout)

    def store_and_publish(self, *types: str) -> None:
        for type_ in types or ("profile",):
            self.publish_event(self.stored.save(type_))

    def publish_event(self, event: NumberedEvent) -> None:
        if self.key == ROOM:
            self.hub.publish(ROOM, [event])
        else:
            self.bus.publish(ChannelChanged(self.key, "events"))

    async def join(
        self,
        writer: WriterSpy | None = None,
        since: ResumePosition | None = None,
        load_view: Callable[[], Awaitable[View]] | None = None,
        key: Key | None = None,
    ) -> WriterSpy:
        writer, load_view = writer or WriterSpy(), load_view or self.stored.load_view
        self.hub.connect(writer)
        async with self.hub.joining(key or self.key, writer, since) as resume:
            first_frames = None
            while first_frames is None:
                first_frames = await resume.read(await load_view())
            self.hub.add(resume, writer, first_frames)
        return writer

    async def wait_backfilled(self) -> None:
        while self.hub.backfills.filling:
            await asyncio.sleep(0)


class SlowJoin:
    """A join that goes on when it may; a second read of the room raises `refused`, if set."""

    def __init__(self, hub_fixture: HubFixture, writer: WriterSpy) -> None:
        self.stored = hub_fixture.stored
        self.may_return = asyncio.Event()
        self.reads = 0
        self.refused: Exception | None = None
        self.task = asyncio.ensure_future(hub_fixture.join(writer, load_view=self.load_view))

    async def load_view(self) -> View:
        if self.refused:
            raise self.refused
        view = await self.stored.load_view()
        self.reads += 1
        await self.may_return.wait()
        return view

    async def has_read(self) -> None:
        await until(lambda: self.reads)

    async def finish(self) -> None:
        self.may_return.set()
        await self.task


def profile_events(first: int, last: int) -> list[tuple[str, int]]:
    """(type, seq) of each, as in `WriterSpy.received_events`."""
    return [("profile", n) for n in range(first, last + 1)]


@pytest.fixture
def hub_fixture() -> HubFixture:
    return HubFixture()
