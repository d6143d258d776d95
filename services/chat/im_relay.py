"""Relays the events of rooms to Tencent IM, durable and in order, for clients that listen there.

The store keeps a cursor for each room; the events are read from the room's own log.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import structlog

from core.errors import QLiveError
from core.retry import IM_RELAY
from rooms.events import NumberedEvent
from services.chat.im_messages import COUNT_EVENTS
from services.chat.im_publisher import LEASE, GroupMissing, ImPublisher
from services.jobs.claimed_jobs import ClaimedJob
from storage.chat import ClaimLost, RelayClaim
from storage.errors import storage_error
from storage.stores import Stores

log = structlog.get_logger("qlive.chat")

CONCURRENCY = 32  # rooms; enough that one that waits for IM delays no other
WAKES_AT_ONCE = 500  # in one command
GATHER_SECONDS = 0.1  # wakes of one room within it become one write
AUDIENCE_SECONDS = 1.0  # users join and leave all the time, and their number may be late
RECONCILE_SECONDS = 30.0  # a process may die before it has stored a wake
GROUP_RETRY_SECONDS = 1.0  # the replacement of a dissolved group takes one or two


class ImRelay(ClaimedJob[RelayClaim]):
    """Listens to `RoomChanges`; of several processes, one at a time relays a room."""

    def __init__(
        self,
        stores: Stores,
        publisher: ImPublisher,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
        idle: float = 1.0,
    ) -> None:
        """Take `clock` in seconds and, as `idle`, the seconds between two polls for work."""
        super().__init__(
            "im_relay",
            self._claim_due,
            self._relay,
            concurrency=CONCURRENCY,
            idle=idle,
            gather=GATHER_SECONDS,
        )
        self._now = now
        self._cursors = stores.relay_cursors
        self._rooms = stores.rooms
        self._publisher = publisher
        self._clock = clock
        self._pending: dict[int, bool] = {}  # live_id: whether the user counts may have changed
        self._audience_changed: set[int] = set()
        self._storing = 0  # wakes being stored
        self._audience_due = self._reconcile_due = clock()

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
            # Rooms whose log is ahead of their cursor: a process died before it stored a wake.
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
            wakes = dict(itertools.islice(self._pending.items(), WAKES_AT_ONCE))
            for live_id in wakes:
                del self._pending[live_id]
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
