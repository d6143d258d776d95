"""How a socket comes to know what its room has told: a snapshot, or what it missed."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from realtime import frames
from realtime.bus import Told
from realtime.channel import Channel
from realtime.codes import Code
from rooms.events import LAST, Numbered
from rooms.refusals import TryAgain

LOOKS = 20
"""How often a joining socket reads a room that keeps changing under it before it gives up."""


class Past(Protocol):
    """Where the hub reads what it has not heard."""

    async def log_since(self, live_id: int, epoch: str, seq: int) -> list[Numbered] | None: ...

    async def versions(self, live_ids: Sequence[int]) -> dict[int, tuple[str, int]]: ...


@dataclass(frozen=True, slots=True)
class Look:
    """The room as a joining member reads it: its life, its version and the snapshot's data."""

    epoch: str
    version: int
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Since:
    """Where a returning client has got to."""

    epoch: str
    seq: int


@dataclass(slots=True)
class Opening:
    """The first frames of one socket in one channel."""

    channel: Channel
    past: Past
    user_id: str
    since: Since | None
    _doubted: str | None = None

    async def read(self, look: Callable[[], Awaitable[Look]]) -> list[bytes]:
        """The frames that bring the socket to exactly what the channel has told.

        Returns without an await after its last reading, so that the caller can add the socket
        before anything else is told. TryAgain when the room changes faster than it is read.
        """
        for _ in range(LOOKS):
            shown_out = self.channel.shown_out[self.user_id]
            seen = await look()
            if not await self._reach(seen):
                continue
            opening = await self._replay(seen)
            if opening is not None and self.channel.shown_out[self.user_id] == shown_out:
                return opening
        raise TryAgain

    async def _reach(self, seen: Look) -> bool:
        """Bring the channel at least to where the room was seen; False: look again."""
        channel = self.channel
        if channel.epoch not in (None, seen.epoch):
            # One of the two is of an older life. A second look is newer than the channel.
            if self._doubted != seen.epoch:
                self._doubted = seen.epoch
                return False
            channel.lose(Code.ENDED)
        if channel.epoch is None:
            channel.begin(seen.epoch, seen.version)
        if channel.told < seen.version:
            await fill(channel, self.past)
        return channel.epoch == seen.epoch and channel.told >= seen.version

    async def _replay(self, seen: Look) -> list[bytes] | None:
        """resumed and the missed, or snapshot and what came after it; None: look again."""
        channel, since = self.channel, self.since
        reset = _reset(channel, since)
        if since and not reset:
            events = None
            missed = channel.since(since.seq)
            if missed is None:
                events = await self.past.log_since(channel.live_id, since.epoch, since.seq)
                if channel.epoch != seen.epoch:
                    return None
                reset = "too_old" if events is None else None
            if events is not None:
                missed = _up_to(channel, since, events)
            if missed is not None:
                return [
                    frames.resumed(channel.live_id, since.epoch, channel.told, len(missed)),
                    *missed,
                ]
            if not reset:
                return None
        after = channel.since(seen.version)
        if after is None:
            return None
        room = frames.snapshot(channel.live_id, seen.epoch, seen.version, seen.data, reset)
        return [room, *after]


async def fill(channel: Channel, past: Past) -> int:
    """Tell what the log has and the channel has not; how many. A life that cannot be told on
    (another one has begun, or the log does not reach back) is lost."""
    epoch, before = channel.epoch, channel.told
    if epoch is None:
        return 0
    missing = await past.log_since(channel.live_id, epoch, before)
    if channel.epoch != epoch:
        return 0
    if missing is None:
        channel.lose(Code.RESTART)
        return 0
    for event in missing:
        channel.hear(told(channel.live_id, event))
    return channel.told - before


def told(live_id: int, event: Numbered, saved_at: float | None = None) -> Told:
    """A saved event, encoded for everybody; of what is read later its own time must do."""
    frame, last = frames.event(live_id, event), event.type == LAST
    moment = event.ts / 1000 if saved_at is None else saved_at
    return Told(live_id, event.epoch, event.seq, frame, last, moment)


def _up_to(channel: Channel, since: Since, events: Sequence[Numbered]) -> list[bytes] | None:
    """The stored events that the channel has told; None when it has told more by now."""
    if since.seq + len(events) < channel.told:
        return None
    return [frames.event(channel.live_id, e) for e in events if e.seq <= channel.told]


def _reset(channel: Channel, since: Since | None) -> str | None:
    """Why a returning client cannot go on from where it was, as far as its numbers tell."""
    if since is None:
        return None
    if since.epoch != channel.epoch:
        return "epoch"
    return "ahead" if since.seq > channel.told else None
