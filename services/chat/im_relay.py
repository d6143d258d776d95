"""Relays the events of rooms to Tencent IM, durable and in order, for clients that listen there.

The store keeps a cursor for each room; the events are read from the room's own log.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog

from core.cache import Cache
from core.errors import QLiveError
from core.retry import IM_RELAY
from rooms.events import LAST_EVENT_TYPE, NumberedEvent
from rooms.room import Room
from services.chat.groups import queue_group_message
from services.chat.im_messages import (
    COUNT_EVENTS,
    ImMessage,
    counts_message,
    drop_excess_gifts,
    live_end_message,
    messages_for,
    on_mic_message,
)
from services.jobs.claimed_jobs import ClaimedJob
from storage.chat import ClaimLost, RelayClaim, RelayPosition
from storage.errors import storage_error
from storage.jobs.outbox import REPLACE_GROUP
from storage.stores import Stores
from tencent.cloud_api import StreamUrls
from tencent.errors import ImGroupMissing, ImRejected
from tencent.im import ImClient

log = structlog.get_logger("qlive.chat")

CONCURRENCY = 32  # rooms; enough that one that waits for IM delays no other
GATHER_SECONDS = 0.1  # wakes of one room within it become one write
AUDIENCE_SECONDS = 1.0  # users join and leave all the time, and their number may be late
RECONCILE_SECONDS = 30.0  # between searches for rooms whose log is ahead of their cursor
GROUP_RETRY_SECONDS = 1.0  # the replacement of a dissolved group takes one or two

PER_SECOND = 30  # messages to one group; IM allows 40, chat included
STRETCH_SECONDS = 1.0  # then the log is read again, since more may have piled up
COUNTS_EVERY = timedelta(seconds=1)
SEND_SECONDS = 12.0  # for one message; a call that is repeated once may take 10.4
LEASE = timedelta(seconds=40)  # outlives two messages and the reads before them
REPEAT_SECONDS = 60.0  # for one room, in case that IM does not have the new group either
EXPECTED_SECONDS = 15.0  # usually a replacement takes one or two
MAX_ROOMS = 1_000  # remembered; for others a replacement may be ordered earlier

# A room without a cursor is relayed from now on. Another process may store the wake of an earlier
# event late, so the relay starts up to FIRST_EVENTS earlier and skips events older than FIRST_AGE.
FIRST_EVENTS = 200  # less than the log keeps
FIRST_AGE = timedelta(seconds=5)
MAX_RECENT = 5_000  # events, about 5 MB; then all are forgotten, and read from the rooms' logs


class RecentEvents:
    """Events that this process saved and will relay, by room; reads them from memory once."""

    def __init__(self) -> None:
        self._by_room: dict[int, list[NumberedEvent]] = {}
        self._size = 0

    def add(self, live_id: int, events: Sequence[NumberedEvent]) -> None:
        if self._size >= MAX_RECENT:
            self._by_room.clear()
            self._size = 0
        self._by_room.setdefault(live_id, []).extend(events)
        self._size += len(events)

    def take(self, live_id: int, epoch: str, seq: int, version: int) -> list[NumberedEvent] | None:
        """Forget the events up to `version`; return those after `seq`, None unless all are here."""
        known = self._by_room.pop(live_id, [])
        self._size -= len(known)
        if later := [event for event in known if event.epoch == epoch and event.seq > version]:
            self.add(live_id, later)
        found = [event for event in known if event.epoch == epoch and seq < event.seq <= version]
        is_complete = [event.seq for event in found] == [*range(seq + 1, version + 1)]
        return found if is_complete else None


class GroupMissing(Exception):
    """IM has dissolved the room's group, and another one is about to replace it."""


@dataclass
class ImPublisher:
    """Sends events in order, and moves the cursor before the next message or with the release.

    After a crash the next process repeats the last event with the same Random, and IM drops it.
    """

    _stores: Stores
    _stream_urls: StreamUrls
    _im: ImClient
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    recent: RecentEvents = field(default_factory=RecentEvents)
    _replacement_ordered_at: Cache[int, float] = field(
        default_factory=lambda: Cache(REPEAT_SECONDS, MAX_ROOMS)
    )

    async def relay(self, claim: RelayClaim) -> None:
        """Send about a second of what is due; the rest stays due.

        Raises ClaimLost, GroupMissing, ServiceUnavailable, TimeoutError or a driver error; the
        cursor then stays.
        """
        release, counts_at = self._stores.relay_cursors.release, claim.counts_at
        room = await self._stores.rooms.read(claim.live_id)
        if room is None:
            await release(claim, None, self.now(), counts_at, None, counts_due=False)
            return
        seq = claim.seq
        if claim.epoch != room.epoch:  # of the present live, all events, or the latest at first
            seq = 0 if claim.epoch else max(0, room.version - FIRST_EVENTS)
        seq = max(seq, room.public_since)  # the present group gets no events of the private time
        events: Sequence[NumberedEvent] | None = []
        if seq != room.version:
            recent = self.recent.take(claim.live_id, room.epoch, seq, room.version)
            events = recent or await self._stores.rooms.log_since(claim.live_id, room.epoch, seq)
        if events is None:
            more, position, counts_due = await self._reset(claim, room), None, room.live
        else:
            # Later ones may be of another group.
            known = [event for event in events if event.seq <= room.version]
            more, position = await self._backfill(claim, room, known, seq)
            counts_due = claim.counts_due and room.live
        now = self.now()
        if counts_due and counts_at <= now:
            if position:
                await self._move(claim, position)
            num_list = (await self._stores.members.count(claim.live_id, room.epoch)).num_list
            group, n = room.group_id, claim.woken
            message = counts_message(room.host_id, group, num_list, room.epoch, n)
            await self._send(claim, room, message)
            counts_due, counts_at = False, now + COUNTS_EVERY
        due_at = now if more else counts_at if counts_due else None
        await release(claim, position, self.now(), counts_at, due_at, counts_due=counts_due)

    async def _backfill(
        self, claim: RelayClaim, room: Room, events: Sequence[NumberedEvent], seq: int
    ) -> tuple[bool, RelayPosition | None]:
        """Send `events` after `seq`; return whether some are left, and where the cursor moves."""
        kept = drop_excess_gifts(events, PER_SECOND)
        if dropped := len(events) - len(kept):
            log.info("relay_gifts_dropped", live_id=claim.live_id, gifts=dropped)
        oldest = (claim.since - FIRST_AGE).timestamp() * 1000
        started, sent = self.clock(), None
        for event in kept:
            if self.clock() - started >= STRETCH_SECONDS:
                return True, sent
            now_ms = int(self.now().timestamp() * 1000)
            messages = messages_for(event, room.group_id, now_ms) if event.ts >= oldest else []
            if messages and sent:
                await self._move(claim, sent)
            for message in messages:
                await self._send(claim, room, message)
            if messages:
                sent = RelayPosition(room.epoch, event.seq, event.type == LAST_EVENT_TYPE)
        if events:
            is_over = events[-1].type == LAST_EVENT_TYPE
            return False, RelayPosition(room.epoch, events[-1].seq, is_over)
        is_moved = (room.epoch, seq) != (claim.epoch, claim.seq)
        return False, RelayPosition(room.epoch, seq, over=False) if is_moved else None

    async def _reset(self, claim: RelayClaim, room: Room) -> bool:
        """Send what the log lacks: the present guests, then the latest events.

        Returns whether some are left.
        """
        log.warning("relay_reset", live_id=claim.live_id, seq=room.version)
        if not room.live:
            await self._send(claim, room, live_end_message(room.epoch, room.version))
            await self._move(claim, RelayPosition(room.epoch, room.version, over=True))
            return False
        for seat in filter(None, (room.male, room.female)):
            guest, play_url = seat.person, self._stream_urls.play(seat.stream)
            accepted = {"play_url": play_url, "area": guest.area, "age": guest.age}
            message = on_mic_message(
                room.epoch, room.version, {**guest.public_profile(), **accepted}
            )
            await self._send(claim, room, message)
            await self._move(claim, RelayPosition(claim.epoch, claim.seq, over=False))  # renews
        latest = max(room.public_since, room.version - FIRST_EVENTS)
        if await self._stores.rooms.log_since(claim.live_id, room.epoch, latest) is None:
            latest = room.version  # one of them has named a user who is deleted
        await self._move(claim, RelayPosition(room.epoch, latest, over=False))
        return True

    async def _send(self, claim: RelayClaim, room: Room, message: ImMessage) -> None:
        """Send at most PER_SECOND to the group; messages that IM rejects are skipped.

        Raises GroupMissing if the group is dissolved and its replacement is to be expected.
        """
        started = self.clock()
        try:
            async with asyncio.timeout(SEND_SECONDS):
                text, random = message.text, message.random
                if message.to:
                    await self._im.send_text(message.to, text, random, message.seconds)
                else:
                    await self._im.send_group_msg(room.group_id, text, random, message.priority)
        except ImRejected as error:
            live_id, is_missing = claim.live_id, isinstance(error, ImGroupMissing)
            if is_missing and await self._expects_replacement(live_id, room.group_id):
                raise GroupMissing from error
            refused = {"live_id": live_id, "kind": message.kind, "error_code": error.code}
            log.warning("relay_message_rejected", **refused)
        if not message.to:
            await self.sleep(max(0.0, started + 1 / PER_SECOND - self.clock()))

    async def _expects_replacement(self, live_id: int, group_id: str) -> bool:
        """Order the replacement of a dissolved group, for one room at most once a minute.

        Returns whether that was a few seconds ago, so that it is to be expected.
        """
        now, cache = self.clock(), self._replacement_ordered_at
        if (ordered_at := cache.get(live_id)) is not None:
            return now - ordered_at < EXPECTED_SECONDS
        start = cache.begin_read()
        await queue_group_message(self._stores.outbox, REPLACE_GROUP, live_id, group_id)
        cache.put(live_id, now, start)
        return True

    async def _move(self, claim: RelayClaim, position: RelayPosition) -> None:
        await self._stores.relay_cursors.advance(claim, position, self.now() + LEASE)


class ImRelay(ClaimedJob[RelayClaim]):
    """Listens to `RoomChanges`; of several processes, one at a time relays a room."""

    def __init__(self, stores: Stores, publisher: ImPublisher, *, idle: float = 1.0) -> None:
        """Take, as `idle`, the seconds between two polls for work."""
        super().__init__(
            "im_relay",
            self._claim_due,
            self._relay,
            concurrency=CONCURRENCY,
            idle=idle,
            gather=GATHER_SECONDS,
        )
        self._now, self._clock = publisher.now, publisher.clock
        self._cursors = stores.relay_cursors
        self._rooms = stores.rooms
        self._publisher = publisher
        self._pending: dict[int, bool] = {}  # live_id: whether the user counts may have changed
        self._audience_changed: set[int] = set()
        self._storing = 0  # wakes being stored
        self._audience_due = self._reconcile_due = self._clock()

    def publish(self, live_id: int, events: Sequence[NumberedEvent]) -> None:
        """Relay events that the room has saved. Never waits, never raises."""
        if events:
            self._publisher.recent.add(live_id, events)
            self._add_wake(live_id, counts=any(event.type in COUNT_EVENTS for event in events))
            self.wake()

    def mark_audience_changed(self, live_id: int) -> None:
        """Note that the room's user counts may have changed. Never waits, never raises."""
        self._audience_changed.add(live_id)
        self.wake()

    @property
    def waiting(self) -> int:
        """Rooms whose wake is not stored yet."""
        return len(self._pending) + len(self._audience_changed) + self._storing

    async def _claim_due(self, limit: int) -> list[RelayClaim]:
        now = self._now()
        return await self._cursors.claim(now, now + LEASE, limit)

    async def _before_claims(self) -> None:
        await self._store_wakes()
        if self._clock() >= self._reconcile_due:
            # A process may have died before it stored a wake.
            cursors = await self._cursors.cursors()
            versions = await self._rooms.versions(list(cursors))
            if behind := [live_id for live_id, at in versions.items() if cursors[live_id] != at]:
                await self._cursors.mark_due(dict.fromkeys(behind, False), self._now())
            self._reconcile_due = self._clock() + RECONCILE_SECONDS

    async def _before_finish(self) -> None:
        """Store pending wakes first: a room in progress may take longer than the stop allows."""
        self._audience_due = self._clock()
        await self._store_wakes()

    async def _store_wakes(self) -> None:
        """Store which rooms have something to relay; a wake stays pending until that worked."""
        if self._clock() >= self._audience_due:
            if self._audience_changed:
                self._audience_due = self._clock() + AUDIENCE_SECONDS
            while self._audience_changed:
                self._add_wake(self._audience_changed.pop(), counts=True)
        while self._pending:
            wakes, self._pending = self._pending, {}
            self._storing = len(wakes)
            try:
                await self._cursors.mark_due(wakes, self._now())
            except Exception as error:  # noqa: BLE001 - any driver error; the job never dies
                self._note_store(error)
                for live_id, counts in wakes.items():
                    self._add_wake(live_id, counts=counts)
                return
            finally:
                self._storing = 0

    async def _relay(self, claim: RelayClaim) -> None:
        why, seconds = "", IM_RELAY.after(claim.tries + 1).total_seconds()
        try:
            await self._publisher.relay(claim)
            self.wake()  # it may have been woken meanwhile
        except ClaimLost:
            log.warning("relay_claim_lost", live_id=claim.live_id)  # another process continues
        except GroupMissing:
            why, seconds = "the group is being replaced", GROUP_RETRY_SECONDS
        except (QLiveError, TimeoutError) as error:
            why = f"{type(error).__name__}: {error}"
        except asyncio.CancelledError:
            await self._release(claim, 0.0)  # for another process, at once
            raise
        except Exception as error:
            why = type(error).__name__
            if storage_error(error):
                self._note_store(error)
            else:
                log.error("relay_crashed", live_id=claim.live_id, exc_info=error)
        if why:
            log.info("relay_postponed", live_id=claim.live_id, seconds=round(seconds, 1), why=why)
            await self._release(claim, seconds)

    async def _release(self, claim: RelayClaim, seconds: float) -> None:
        try:
            await self._cursors.postpone(claim, self._now() + timedelta(seconds=seconds))
        except Exception as error:  # noqa: BLE001 - any driver error; the job never dies
            self._note_store(error)  # the lease expires, and the room is claimed again

    def _add_wake(self, live_id: int, *, counts: bool) -> None:
        self._pending[live_id] = counts or self._pending.get(live_id, False)
