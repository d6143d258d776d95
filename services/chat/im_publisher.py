"""Publishes one room's events to Tencent IM while its claim lasts."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

import structlog

from core.cache import Cache
from core.clock import now_ms
from rooms.events import LAST_EVENT_TYPE, MicroAccept, NumberedEvent
from rooms.room import Room, Seat
from services.chat.groups import queue_group_message
from services.chat.im_messages import (
    ImMessage,
    counts_message,
    drop_excess_gifts,
    live_end_message,
    messages_for,
    on_mic_messages,
)
from storage.chat.groups import RelayClaim, RelayCursorStore, RelayPosition
from storage.jobs.outbox import REPLACE_GROUP, OutboxStore
from storage.rooms.members import MemberStore
from storage.rooms.rooms import RoomStore
from tencent.cloud_api import StreamUrls
from tencent.errors import ImGroupMissing, ImRejected
from tencent.im import ImClient

log = structlog.get_logger("qlive.chat")

PER_SECOND = 30  # messages to one group; IM allows 40, chat included
SPACING = 1 / PER_SECOND
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
        """Return the events after `seq` up to `version`, None unless all of them are here.

        They, and earlier ones, are forgotten.
        """
        known = self._by_room.pop(live_id, [])
        self._size -= len(known)
        if later := [event for event in known if event.epoch == epoch and event.seq > version]:
            self.add(live_id, later)
        found = [event for event in known if event.epoch == epoch and seq < event.seq <= version]
        is_complete = [event.seq for event in found] == [*range(seq + 1, version + 1)]
        return found if is_complete else None


class ClaimLost(Exception):
    """Another process has claimed the room."""


class GroupMissing(Exception):
    """IM has dissolved the room's group, and another one is about to replace it."""


class ImPublisher:
    """Sends events in order, and moves the cursor before the next message or with the release.

    After a crash the next process repeats the last event with the same Random, and IM drops it.
    """

    def __init__(
        self,
        store: RelayCursorStore,
        rooms: RoomStore,
        members: MemberStore,
        stream_urls: StreamUrls,
        im: ImClient,
        outbox: OutboxStore,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Take `clock` and `sleep` in seconds."""
        self._store = store
        self._rooms = rooms
        self._members = members
        self._stream_urls = stream_urls
        self._im = im
        self._outbox = outbox
        self.recent = RecentEvents()
        self._replacement_ordered_at: Cache[int, float] = Cache(REPEAT_SECONDS, MAX_ROOMS)
        self._now = now
        self._clock = clock
        self._sleep = sleep

    async def relay(self, claim: RelayClaim) -> None:
        """Send about a second of what is due; the rest stays due.

        Raises ClaimLost, GroupMissing, ServiceUnavailable, TimeoutError or a driver error; the
        cursor then stays.
        """
        room = await self._rooms.read(claim.live_id)
        if room is None:
            await self._release(claim, None, claim.counts_at, None, counts_due=False)
            return
        seq = _first_seq(claim, room)
        events = await self._missed(claim, room, seq)
        if events is None:
            more, position, counts_due = await self._reset(claim, room), None, room.live
        else:
            more, position = await self._backfill(claim, room, events, seq)
            counts_due = claim.counts_due and room.live
        await self._finish(claim, room, position, more=more, counts_due=counts_due)

    async def _missed(
        self, claim: RelayClaim, room: Room, seq: int
    ) -> Sequence[NumberedEvent] | None:
        if seq == room.version:
            return []
        recent = self.recent.take(claim.live_id, room.epoch, seq, room.version)
        return recent or await self._rooms.log_since(claim.live_id, room.epoch, seq)

    async def _backfill(
        self, claim: RelayClaim, room: Room, events: Sequence[NumberedEvent], seq: int
    ) -> tuple[bool, RelayPosition | None]:
        """Send `events`, which follow `seq`.

        Return whether some are left, and where the cursor is to move.
        """
        kept = drop_excess_gifts(events, PER_SECOND)
        if dropped := len(events) - len(kept):
            log.info("relay_gifts_dropped", live_id=claim.live_id, gifts=dropped)
        oldest = (claim.since - FIRST_AGE).timestamp() * 1000
        started, sent = self._clock(), None
        for event in kept:
            if self._clock() - started >= STRETCH_SECONDS:
                return True, sent
            now_ms = int(self._now().timestamp() * 1000)
            messages = messages_for(event, room.group_id, now_ms) if event.ts >= oldest else []
            if messages and sent:
                await self._move(claim, sent)
            for message in messages:
                await self._send(claim, room, message)
            if messages:
                sent = _position(room, event)
        if events:
            return False, _position(room, events[-1])
        is_moved = (room.epoch, seq) != (claim.epoch, claim.seq)
        return False, RelayPosition(room.epoch, seq, over=False) if is_moved else None

    async def _reset(self, claim: RelayClaim, room: Room) -> bool:
        """Send the present guests, then the latest events; return True when some are left.

        The log no longer has all missed events.
        """
        log.warning("relay_reset", live_id=claim.live_id, seq=room.version)
        if not room.live:
            await self._send(claim, room, live_end_message(room.epoch, room.version))
            await self._move(claim, RelayPosition(room.epoch, room.version, over=True))
            return False
        for message in on_mic_messages(room.epoch, room.version, self._on_mic(room)):
            await self._send(claim, room, message)
            await self._move(claim, RelayPosition(claim.epoch, claim.seq, over=False))  # renews
        latest = max(0, room.version - FIRST_EVENTS)
        if await self._rooms.log_since(claim.live_id, room.epoch, latest) is None:
            latest = room.version  # one of them has named a user who is deleted
        await self._move(claim, RelayPosition(room.epoch, latest, over=False))
        return True

    def _on_mic(self, room: Room) -> list[MicroAccept]:
        """Return the payload of micro_accept of each guest."""
        now, seats = now_ms() // 1000, (room.male, room.female)
        return [_accepted(seat, self._stream_urls.play(seat.stream, now)) for seat in seats if seat]

    async def _finish(
        self,
        claim: RelayClaim,
        room: Room,
        position: RelayPosition | None,
        *,
        more: bool,
        counts_due: bool,
    ) -> None:
        """Send the user counts if their time has come, and end the claim."""
        now, counts_at = self._now(), claim.counts_at
        if counts_due and counts_at <= now:
            if position:
                await self._move(claim, position)
            await self._send_counts(claim, room)
            counts_due, counts_at = False, now + COUNTS_EVERY
        due_at = now if more else counts_at if counts_due else None
        await self._release(claim, position, counts_at, due_at, counts_due=counts_due)

    async def _send_counts(self, claim: RelayClaim, room: Room) -> None:
        counts = await self._members.count(claim.live_id, room.epoch)
        message = counts_message(
            room.host_id, room.group_id, counts.num_list, room.epoch, claim.woken
        )
        await self._send(claim, room, message)

    async def _send(self, claim: RelayClaim, room: Room, message: ImMessage) -> None:
        """Send at most PER_SECOND to the group; messages that IM rejects are skipped.

        Raises GroupMissing if the group is dissolved and its replacement is to be expected.
        """
        started = self._clock()
        try:
            async with asyncio.timeout(SEND_SECONDS):
                if message.to:
                    await self._im.send_text(
                        message.to, message.text, message.random, message.seconds
                    )
                else:
                    await self._im.send_group_msg(
                        room.group_id, message.text, message.random, message.priority
                    )
        except ImRejected as error:
            if isinstance(error, ImGroupMissing) and await self._expects_replacement(
                claim.live_id, room.group_id
            ):
                raise GroupMissing from error
            log.warning(
                "relay_message_rejected",
                live_id=claim.live_id,
                kind=message.kind,
                error_code=error.code,
            )
        if not message.to:
            await self._sleep(max(0.0, started + SPACING - self._clock()))

    async def _expects_replacement(self, live_id: int, group_id: str) -> bool:
        """Order the replacement of a dissolved group, for one room at most once a minute.

        Return True in the first seconds after that, while the replacement is to be expected.
        """
        now, cache = self._clock(), self._replacement_ordered_at
        if (ordered_at := cache.get(live_id)) is not None:
            return now - ordered_at < EXPECTED_SECONDS
        start = cache.begin_read()
        await queue_group_message(self._outbox, REPLACE_GROUP, live_id, group_id)
        cache.put(live_id, now, start)
        return True

    async def _move(self, claim: RelayClaim, position: RelayPosition) -> None:
        if not await self._store.advance(claim, position, self._now() + LEASE):
            raise ClaimLost

    async def _release(
        self,
        claim: RelayClaim,
        position: RelayPosition | None,
        counts_at: datetime,
        due_at: datetime | None,
        *,
        counts_due: bool,
    ) -> None:
        now, release = self._now(), self._store.release
        if not await release(claim, position, now, counts_at, due_at, counts_due=counts_due):
            raise ClaimLost


def _first_seq(claim: RelayClaim, room: Room) -> int:
    """Return the event of the present live after which to start."""
    if claim.epoch == room.epoch:
        return claim.seq
    return 0 if claim.epoch else max(0, room.version - FIRST_EVENTS)


def _position(room: Room, event: NumberedEvent) -> RelayPosition:
    """Return the cursor after an event."""
    return RelayPosition(room.epoch, event.seq, event.type == LAST_EVENT_TYPE)


def _accepted(seat: Seat, play_url: str) -> MicroAccept:
    person = seat.person
    return {**person.public_profile(), "play_url": play_url, "area": person.area, "age": person.age}
