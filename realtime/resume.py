"""Brings a joining socket, or a channel that fell behind, up to date by snapshot or by replay."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import structlog

from core.errors import TryAgain
from realtime import frames
from realtime.bus import EventPublished
from realtime.channel import Channel
from realtime.frames import CloseCode, Key, owner
from rooms.events import NumberedEvent

log = structlog.get_logger("qlive.hub")

MAX_READS = 20
"""Maximum number of times that a join reads what keeps changing."""


class EventLog(Protocol):
    """Stored events of rooms or of users, read to fill gaps and to resume."""

    async def log_since(
        self, key: Any, epoch: str, seq: int, /
    ) -> Sequence[NumberedEvent] | None: ...

    async def versions(self, keys: Sequence[Any], /) -> Mapping[Any, tuple[str, int]]: ...


@dataclass(eq=False)
class View:
    """What a socket is shown first of a room or a user, at one version of one epoch.

    Concurrent joins of a room share it: the snapshot is read and encoded once, if a client cannot
    resume.
    """

    epoch: str
    version: int
    _read_data: Callable[[], Awaitable[Mapping[str, Any]]]
    """Returns the data of the snapshot."""
    oldest: int = 0
    """Earliest event after which a client may resume; after an earlier one it gets a snapshot. The
    events of a live while it was private were for its members alone."""
    _data: asyncio.Future[Mapping[str, Any]] | None = None
    _frames: dict[str | None, bytes] = field(default_factory=dict)

    async def snapshot(self, key: Key, reset: str | None) -> bytes:
        """Return the snapshot frame; `reset` is the reason sent to a client that cannot resume."""
        if self._data is None:
            self._data = asyncio.ensure_future(self._read_data())
        data = await asyncio.shield(self._data)
        if reset not in self._frames:
            self._frames[reset] = frames.snapshot(key, self.epoch, self.version, data, reset)
        return self._frames[reset]


class Source(NamedTuple):
    """Where channels of one kind, rooms or users, read what they have missed."""

    log: EventLog
    load: Callable[[Any], Awaitable[View | None]]
    """Reads a view by key for all sockets of a channel; None if its epoch has ended."""


@dataclass(frozen=True, slots=True)
class ResumePosition:
    """Position of the last event that a reconnecting client received."""

    epoch: str
    seq: int


@dataclass(slots=True)
class Resume:
    """Builds the first frames of one socket in one channel, to which the hub has subscribed."""

    channel: Channel
    source: Source
    user_id: str
    since: ResumePosition | None
    _evictions: int = field(init=False)
    """Evictions of the user from the channel before the view was read."""
    _doubted: str | None = None
    _reads: int = 0

    def __post_init__(self) -> None:
        self._evictions = self._count_evictions()

    async def read(self, view: View) -> bytes | None:
        """Return frames that bring the socket exactly to the channel's position.

        None if the user was evicted, or the view is older than the channel: the caller reads it
        again. Nothing is awaited after the last read, so that the caller can add the socket before
        another event is delivered. Raises TryAgain when the view changes faster than it is read.
        """
        if await self._advance_channel(view):
            first_frames = await self._first_frames(view)
            if first_frames is not None and self._evictions == self._count_evictions():
                return b"".join(first_frames)
        self._evictions = self._count_evictions()
        self._reads += 1
        if self._reads == MAX_READS:
            raise TryAgain
        return None

    def _count_evictions(self) -> int:
        return self.channel.joins.evictions[self.user_id] if self.channel.joins else 0

    async def _advance_channel(self, view: View) -> bool:
        """Bring the channel at least to the view's version; return False to read again."""
        channel = self.channel
        if channel.epoch not in (None, view.epoch):
            # Either epoch may be the older one; a second read is newer than the channel.
            if self._doubted != view.epoch:
                self._doubted = view.epoch
                return False
            channel.reset(channel.over)
        if channel.epoch is None:
            channel.begin(view.epoch, view.version)
        if channel.last_seq < view.version:
            await backfill(channel, self.source)
        return channel.epoch == view.epoch and channel.last_seq >= view.version

    async def _first_frames(self, view: View) -> list[bytes] | None:
        """Return `resumed` and missed events, or a snapshot and later ones; None to read again."""
        channel, since, reset = self.channel, self.since, self._reset_reason(view)
        if since and not reset:
            missed = channel.since(since.seq)
            if missed is None:
                events = await self.source.log.log_since(channel.key, since.epoch, since.seq)
                is_behind = events is not None and since.seq + len(events) < channel.last_seq
                if is_behind or channel.epoch != view.epoch:
                    return None
                if events is None:
                    reset = "too_old"
                else:
                    known = [event for event in events if event.seq <= channel.last_seq]
                    missed = [frames.event(channel.key, event) for event in known]
                    channel.remember(since.seq, missed)
            if missed is not None:
                resumed = frames.resumed(channel.key, since.epoch, channel.last_seq, len(missed))
                return [resumed, *missed]
        snapshot = await view.snapshot(channel.key, reset)
        later = channel.since(view.version) if channel.epoch == view.epoch else None
        return None if later is None else [snapshot, *later]

    def _reset_reason(self, view: View) -> str | None:
        """Return why the client cannot resume, as far as its position shows it."""
        if self.since is None:
            return None
        if self.since.epoch != self.channel.epoch:
            return "epoch"
        if self.since.seq > self.channel.last_seq:
            return "ahead"
        return "too_old" if self.since.seq < view.oldest else None


async def backfill(channel: Channel, source: Source) -> int:
    """Deliver the logged events that the channel lacks, and those that it has buffered.

    Returns their number, without events that the bus delivered meanwhile. If the log lacks some,
    the sockets get a snapshot; if the live has ended or another epoch has begun, they are closed.
    """
    epoch = channel.epoch
    if epoch is None:
        return 0
    missing = await source.log.log_since(channel.key, epoch, channel.last_seq)
    if channel.epoch != epoch:
        return 0
    if missing is None:
        await _continue_from_snapshot(channel, source)
    start = channel.last_seq
    for event in missing or ():
        saved_at = 0.0 if channel.is_user_channel else None  # a hint has no time to measure from
        channel.receive(EventPublished.of(channel.key, event, saved_at))
    channel.receive_buffered()
    return channel.last_seq - start


async def _continue_from_snapshot(channel: Channel, source: Source) -> None:
    epoch, start = channel.epoch, channel.last_seq
    view = await source.load(channel.key)
    snapshot = await view.snapshot(channel.key, "too_old") if view else b""
    if (channel.epoch, channel.last_seq) != (epoch, start):
        return  # another task has advanced the channel meanwhile
    if view is None:
        channel.reset(channel.over)
    elif view.epoch != epoch or view.version <= start:
        channel.reset(CloseCode.RESTART)
    else:
        skipped, sockets = view.version - start, len(channel.sockets)
        log.warning("events_skipped", **owner(channel.key), events=skipped, sockets=sockets)
        channel.skip_to(view.version, snapshot)
