"""Member presence across processes: connections, disconnections and grace periods.

Each stored membership names the process that serves it. A member is marked away when the socket
closes, when that process ends, or when its lease lapses. The consequences of an absence are a rule
of the room (rooms/room.py); this module decides when to apply it.
"""

import time
from collections.abc import Callable

import structlog

from core.clock import now_ms
from core.errors import TryAgain
from rooms.errors import RoomNotFound
from rooms.members import (
    ON_MIC,
    GracePolicy,
    Member,
    MemberSocket,
    apply_notification,
    is_known_present,
)
from rooms.room import Room
from services.jobs.claimed_jobs import ClaimedJob, one_by_one
from services.room_changes import RoomChanges
from storage.rooms.presence import PresenceStore
from storage.stores import Stores

log = structlog.get_logger("qlive.presence")

SILENT_MS = 6 * 3_600_000
"""Time without a request after which a member without a socket counts as absent."""
LEASE_SECONDS = 15.0
"""A process that does not renew its lease for so long counts as dead. This is longer than MongoDB
takes to elect a primary, and shorter than the grace period of a guest."""
ABSENCE_CONCURRENCY = 16
"""Due absences processed concurrently."""
ABSENCE_SECONDS = 0.5
"""Between two searches for due absences."""
NEW_VISIT_MS = 60_000
"""Time after entering for which a new socket notes the visit: the process that let the user in may
have been killed before it has written it."""
CLOCK_SKEW_MS = 2_000
"""Tolerated clock skew between Tencent and this server."""
FLUSH_SIZE = 500
"""Closed sockets written by one bulk command."""
MAX_ATTEMPTS = 5
"""Compare-and-swap attempts on a stored stream."""


class Lease:
    """This process's lease in MongoDB; `renew` and `sweep` run periodically."""

    def __init__(
        self,
        store: PresenceStore,
        process: str,
        seconds: float = LEASE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.process = process
        self.seconds = seconds
        self.lapses = 0
        """Number of lapses; after one, other processes may have marked members served here away."""
        self._store = store
        self._clock = clock
        self._renewed_at: float | None = None
        self._held_since = clock()

    @property
    def held_ms(self) -> int:
        """Milliseconds the lease has been held without a gap; 0 if it may have lapsed.

        During a gap MongoDB may have been down: clients could not reconnect, and processes whose
        lease lapsed may be alive. The time is that of this machine's monotonic clock.
        """
        now = self._clock()
        if self._renewed_at is None or now - self._renewed_at > self.seconds:
            return 0
        return int((now - self._held_since) * 1000)

    @property
    def held_for_full_term(self) -> bool:
        """Whether this process may treat processes with a lapsed lease as dead.

        After a MongoDB outage all leases have lapsed, and the first process to recover must not
        mistake the others for dead ones.
        """
        return self.held_ms >= self.seconds * 1000

    async def renew(self) -> None:
        requested_at = self._clock()  # conservative: the stored term starts later, at the write
        held = await self._store.renew(self.process, self.seconds)
        previous, self._renewed_at = self._renewed_at, requested_at
        if previous is None or self._renewed_at - previous > self.seconds:
            self._held_since = self._renewed_at
        if previous is not None and not held:
            log.warning("lease_lapsed", process=self.process)
            self.lapses += 1

    async def sweep(self) -> None:
        """Mark the members of dead processes away, once the lease was held for a full term."""
        if not self.held_for_full_term:
            return
        for process in await self._store.expired_processes():
            if process != self.process:
                count = await self._store.mark_members_away(process, now_ms())
                log.warning("dead_process_swept", process=process, members=count)

    async def end(self) -> None:
        """Release the lease at shutdown and mark the members still served here away."""
        await self._store.mark_members_away(self.process, now_ms())
        await self._store.forget(self.process)


class Presence:
    """Tracks connected and absent members.

    Sockets call `connect` and `disconnect`, HTTP requests `seen`, Tencent's callbacks `on_…`; the
    other methods and `job` run periodically.
    """

    def __init__(
        self,
        stores: Stores,
        room_changes: RoomChanges,
        lease: Lease,
        grace: GracePolicy,
    ) -> None:
        self._store = store = stores.presence
        self._members, self._visits = stores.members, stores.visits
        self._room_changes = room_changes
        self.lease = lease
        self._grace = grace
        self._disconnected: list[MemberSocket] = []
        self.job = ClaimedJob[Member](
            "absences",
            one_by_one(lambda: store.claim(now_ms())),
            self._process_absence,
            concurrency=ABSENCE_CONCURRENCY,
            idle=ABSENCE_SECONDS,
        )
        """Applies the consequences of absences that are due."""

    # ---- sockets and HTTP calls

    async def connect(self, user_id: str, live_id: int) -> Member | None:
        """Store a member's new socket, numbered above all earlier ones, and return the membership.

        None if the user is not a member of the room. Raises TryAgain if the membership changes
        meanwhile. Call it early: the number decides which of two sockets is newer.
        """
        member = await self._store.register_socket(user_id, live_id, self.lease.process, now_ms())
        if member and member.role != "host" and now_ms() - member.entered_at < NEW_VISIT_MS:
            self._visits.note_visitor(member.epoch, user_id)
        if member and member.role in ON_MIC:
            # This never raises: the caller needs the socket's number to record its end later.
            await self._mark_returned(live_id, user_id)
        return member

    def disconnect(self, socket: MemberSocket) -> None:
        """Record a closed socket in memory; `flush` stores it, however long MongoDB is down."""
        self._disconnected.append(socket)

    async def seen(self, user_id: str, room: Room) -> None:
        """Record that a user entered by an HTTP call, perhaps without any socket.

        `room` was loaded by the entry, and usually shows that there is nothing to store.
        """
        now, member = now_ms(), room.members.get(user_id)
        if member and is_known_present(member, now):
            return
        if await self._store.seen(user_id, now):
            await self._mark_returned(room.live_id, user_id)

    # ---- periodic jobs

    async def flush(self) -> None:
        """Store closed sockets, FLUSH_SIZE at a time: an outage may leave a large backlog."""
        while batch := self._disconnected[:FLUSH_SIZE]:
            await self._store.mark_disconnected(batch)
            del self._disconnected[: len(batch)]

    async def mark_silent_away(self) -> None:
        """Mark members without a socket away after SILENT_MS of inactivity."""
        now = now_ms()
        await self._store.mark_silent_away(now - SILENT_MS, now)

    # ---- Tencent's callbacks; each returns "done" or why it was ignored

    async def on_im_state(
        self, user_id: str, *, online: bool, at_ms: int, group_id: str | None = None
    ) -> str:
        """Apply an IM client's login or logout, in one group or (None) altogether."""
        member = await self._members.get(user_id)
        if member is None:
            return "not_in_a_room"
        if member.socket:  # presence then follows sockets, not callbacks
            return "has_a_socket"
        if group_id and group_id != (await self._room_changes.load(member.live_id)).group_id:
            return "other_group"
        if not online and at_ms < member.entered_at - CLOCK_SKEW_MS:
            return "old_event"  # the user entered later
        is_recorded = await self._record_report(member, present=online, reported_at=at_ms)
        return "done" if is_recorded else "old_event"

    async def on_stream_event(self, stream: str, *, on: bool, sequence: str, at_s: int) -> str:
        """Apply the start or end of a CSS push. Raises TryAgain after MAX_ATTEMPTS lost races."""
        user_id = stream.partition("_")[0]
        for _ in range(MAX_ATTEMPTS):
            member = await self._members.get(user_id)
            if member is None:
                return "not_in_a_room"
            room = await self._room_changes.load(member.live_id, user_id)
            seat = room.owner if user_id == room.host_id else room.seat_of(user_id)
            if not (room.live and seat and seat.stream == stream):
                return "not_the_current_stream"
            state, valid = apply_notification(
                member.stream, stream, on=on, sequence=sequence, at=at_s
            )
            if state is None:
                return "old_sequence"
            if await self._store.record_stream(member, state, now_ms()):
                if valid and not member.socket:  # a socket decides instead, if there is one
                    await self._record_report(member, present=on)
                return "done" if valid else "old_sequence"
        raise TryAgain

    # ---- internals

    async def _process_absence(self, member: Member) -> None:
        user_id, now = member.user_id, now_ms()
        streams = member.stream is not None and member.stream["on"]

        def decide(room: Room) -> tuple[bool, int | None]:
            ended = not room.live or room.epoch != member.epoch
            next_at = room.apply_absence(
                user_id,
                now,
                self._grace,
                since=now - self.lease.held_ms,
                streams=streams,
            )
            return ended, next_at

        try:
            ended, next_at = await self._room_changes.change(member.live_id, decide, user_id)
        except RoomNotFound:
            ended, next_at = True, None
        if ended:
            await self._store.delete_membership(member)
        else:
            await self._store.reschedule(member, next_at)

    async def _record_report(
        self, member: Member, *, present: bool, reported_at: int | None = None
    ) -> bool:
        """Store a report as PresenceStore.record_report, and show a member who is back."""
        is_recorded = await self._store.record_report(
            member, present=present, now=now_ms(), reported_at=reported_at
        )
        if is_recorded and present and member.away_at is not None:
            await self._mark_returned(member.live_id, member.user_id)
        return is_recorded

    async def _mark_returned(self, live_id: int, user_id: str) -> None:
        """Show a member on mic as connected again; on failure `job` retries."""
        try:
            await self._room_changes.change(
                live_id, lambda room: room.mark_connected(user_id), user_id
            )
        except Exception as error:  # noqa: BLE001 - `job` retries
            log.info("member_return_deferred", live_id=live_id, error=type(error).__name__)
