"""Reads the events that the channels of a process have missed: after a hint, a gap or an outage."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil

import structlog

from realtime import frames
from realtime.bus import Bus
from realtime.channel import Channel
from realtime.frames import Key
from realtime.resume import Source, backfill

log = structlog.get_logger("qlive.hub")

BACKFILL_CONCURRENCY = 16
"""Channels backfilled concurrently."""
READ_SIZE = 500
"""Channels, or users, read by one query: after an outage, all channels here are read again."""
USER_CHECKS = 15
"""Checks in which all user channels have had a turn, unless the bus may have lost messages:
to read the versions of 10,000 users every second would take a twentieth of a core."""


@dataclass(eq=False)
class Backfills:
    """Compares the channels of the hub with what is stored, and delivers what they lack."""

    _rooms: Source
    _users: Source
    _bus: Bus
    _channels: dict[Key, Channel]
    _drop_if_idle: Callable[[Channel], None]
    events: int = 0
    """Events of rooms that were read."""
    _filling: dict[Key, asyncio.Task[None]] = field(default_factory=dict)
    _unchecked: list[Channel] = field(default_factory=list)
    """User channels that have yet to be checked in this round."""
    _checked_gaps: int = 0
    """Gaps of the bus after which all user channels were checked."""

    def source_of(self, channel: Channel) -> Source:
        return self._users if channel.is_user_channel else self._rooms

    @property
    def _all(self) -> list[Channel]:
        return list(self._channels.values())

    @property
    def filling(self) -> list[Key]:
        """Channels whose events are being read: of rooms after a gap, of users after a hint."""
        return list(self._filling)

    async def check(self) -> None:
        """Backfill the channels that are behind their stored events; close those of an ended epoch.

        A lost bus message thus costs a delay, not an event.
        """
        await self._check(self._rooms, [c for c in self._all if not c.is_user_channel])

    async def check_users(self) -> None:
        """Check user channels as `check` does those of rooms, by turns.

        After a gap of the bus, and while it is down, all have a turn. Channels whose last read has
        failed have a turn every time.
        """
        users, gaps = [c for c in self._all if c.is_user_channel], self._bus.gaps
        share = ceil(len(users) / USER_CHECKS)
        if gaps != self._checked_gaps or not self._bus.healthy:
            self._unchecked, share = users, len(users)
        self._unchecked = self._unchecked or users
        turn = self._unchecked[:share]
        await self._check(self._users, [*turn, *(c for c in users if c.behind and c not in turn)])
        self._unchecked, self._checked_gaps = self._unchecked[share:], gaps

    async def _check(self, source: Source, channels: Sequence[Channel]) -> None:
        for start in range(0, len(channels), READ_SIZE):
            await self._compare(source, channels[start : start + READ_SIZE])

    async def _compare(self, source: Source, channels: Sequence[Channel]) -> None:
        """Compare channels of one kind with what is stored."""
        local = {c.key: (c, c.epoch) for c in channels if c.epoch is not None}
        behind: list[Channel] = []
        versions = await source.log.versions(list(local)) if local else {}
        for key, (epoch, version) in versions.items():
            channel, known_epoch = local[key]
            if channel.epoch != known_epoch:
                continue  # restarted meanwhile, from a newer read than this
            if epoch != known_epoch:
                channel.reset(channel.over)
                self._drop_if_idle(channel)
            elif version > channel.last_seq:
                behind.append(channel)
            else:
                channel.behind = False
        for start in range(0, len(behind), BACKFILL_CONCURRENCY):
            batch = behind[start : start + BACKFILL_CONCURRENCY]
            await asyncio.gather(*(self.backfill(channel) for channel in batch))

    def start(self, channel: Channel) -> None:
        """Backfill in a task, unless the channel is being filled already."""
        if channel.key not in self._filling and channel.epoch is not None:
            task = asyncio.get_running_loop().create_task(self._fill(channel))
            self._filling[channel.key] = task

    async def _fill(self, channel: Channel) -> None:
        """Backfill until nothing is missing: there may be another event during a read."""
        try:
            is_missing = True
            while is_missing:
                advanced = await self.backfill(channel)
                may_go_on = advanced is not None
                is_missing = may_go_on and (channel.behind or bool(advanced and channel.has_gap))
        finally:
            del self._filling[channel.key]
            present = self._channels.get(channel.key)
            if present and present is not channel and present.behind:
                self.start(present)  # a hint for it found this one being filled

    async def backfill(self, channel: Channel) -> bool | None:
        """Deliver missed events, or a snapshot; return whether the channel advanced.

        Resets a channel whose epoch cannot be continued. Logs errors, and returns None; the next
        check tries again.
        """
        before, channel.behind = channel.last_seq, False
        try:
            filled = await backfill(channel, self.source_of(channel))
        except Exception as error:  # noqa: BLE001 - background reads must survive errors
            log.warning("backfill_failed", **frames.owner(channel.key), error=type(error).__name__)
            channel.behind = True
            return None
        if filled and not channel.is_user_channel:
            self.events += filled
            channel.refresh(again=False)  # the ChannelChanged of a missed event was lost as well
        self._drop_if_idle(channel)
        return channel.last_seq > before
