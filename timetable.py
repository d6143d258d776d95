"""What a server does again and again beside its requests, and how often."""

import asyncio
import time
from datetime import UTC, datetime
from functools import partial

import structlog

from garbage import Garbage
from handlers.evictions import read_letters
from handlers.listening import why_not
from handlers.parts import Parts
from money.sweep import CLAIM
from realtime.redis_bus import RedisBus
from rooms.keeper import now_ms
from rooms.refusals import ServiceAway
from rounds import Rounds

log = structlog.get_logger("qlive.timetable")

LAG_SECONDS = 0.02
LOOKED_AT = ("paid", "delivered", "closed", "later")
SLOW_EVERY = 0.25
SILENT_EVERY = 60.0


def keep(rounds: Rounds, parts: Parts) -> None:
    """All but the bus, which is to outlive the requests."""
    every, hub, presence = rounds.every, parts.hub, parts.presence
    lease = parts.settings.presence.lease_seconds
    every(parts.settings.realtime.check_seconds, "check", hub.check)
    every(1, "audience", lambda: hub.show_audience(parts.members.counts))
    every(1, "heartbeat", lambda: _beat(parts))
    every(SLOW_EVERY, "slow", lambda: _cut_late(parts))
    every(1, "expiry", lambda: _expire(parts))
    every(0.5, "garbage", Garbage(lambda: hub.open).look)
    every(0.5, "lag", lambda: _measure_lag(parts))
    every(0.2, "parted", presence.flush)
    every(0.5, "absences", presence.look_after)
    every(lease / 3, "lease", parts.lease.renew, retry=lease / 15)  # or it would lapse at once
    every(lease / 3, "sweep", parts.lease.sweep)
    every(SILENT_EVERY, "silent", presence.miss_silent)
    every(0.5, "letters", lambda: read_letters(parts))
    every(1, "places", Doubts(parts).check)
    every(5, "orders", lambda: _sweep_orders(parts))
    every(10, "books", parts.books.look)
    rounds.until_stopped("errands", parts.errands.run)
    rounds.until_stopped("drops", parts.drops.run)
    if parts.relay:
        rounds.until_stopped("relay", parts.relay.run)


def keep_bus(rounds: Rounds, parts: Parts) -> None:
    if isinstance(parts.bus, RedisBus):
        rounds.until_stopped("bus_hears", parts.bus.hear)
        rounds.until_stopped("bus_speaks", parts.bus.speak)


class Doubts:
    """Looks whether everybody who listens here still may, and whether the database has the same
    people here: whenever the bus may have lost a word, and now and then without any reason."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lease = parts.settings.presence.lease_seconds
        self._gaps = 0
        self._checked_at = self._compared_at = time.monotonic()

    async def check(self) -> None:
        parts, now, gaps = self._parts, time.monotonic(), self._parts.bus.gaps
        patience = self._lease if parts.bus.healthy else self._lease / 3
        if gaps == self._gaps and now - self._checked_at < patience:
            return
        parts.hub.stir_all()
        await read_letters(parts)  # which say more of why somebody is out
        strays = await parts.hub.check_places(
            parts.places.standing, partial(why_not, parts), parts.process
        )
        stray = [it.connection for _, it in strays if it.connection and not it.closed]
        await parts.lease.stamp(stray)
        self._gaps, self._checked_at = gaps, now
        if now - self._compared_at >= self._lease:
            await parts.lease.compare()
            self._compared_at = now


async def _beat(parts: Parts) -> None:
    settings = parts.settings.realtime
    parts.hub.beat(
        time.monotonic(), every=settings.heartbeat_seconds, silent=settings.silent_seconds
    )


async def _cut_late(parts: Parts) -> None:
    """In time: nobody holds a backlog for longer than is set, a round that is late included."""
    patience = parts.settings.limits.backlog_seconds
    parts.hub.cut_late(time.monotonic(), patience - min(2 * SLOW_EVERY, patience / 2))


async def _expire(parts: Parts) -> None:
    """The keeper expires whatever is due before any change; this is a change of nothing else."""
    due = await parts.rooms.due(now_ms())
    changes = (parts.keeper.change(live_id, lambda _room: None) for live_id in due)
    for outcome in await asyncio.gather(*changes, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome  # after all the others have had their turn


async def _sweep_orders(parts: Parts) -> None:
    while True:
        now = datetime.now(UTC)
        claimed = await parts.orders.claim(now, now + CLAIM)
        if claimed is None:
            return
        order = claimed.order
        try:
            outcome = await parts.sweep.look(claimed, now)
        except ServiceAway:
            outcome = await parts.sweep.put_off(claimed, now)
        if outcome not in LOOKED_AT:
            parts.metrics.callbacks_refused.labels(f"{order.provider}_query", outcome).inc()
        log.info("order_looked_at", order=order.number, outcome=outcome)


async def _measure_lag(parts: Parts) -> None:
    """How much later than asked for the loop comes back."""
    before = time.perf_counter()
    await asyncio.sleep(LAG_SECONDS)
    late = time.perf_counter() - before - LAG_SECONDS
    parts.metrics.loop_lag_seconds.set(max(0.0, late))
