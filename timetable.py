"""What a server does again and again beside its requests, and how often."""

import asyncio
import time

from handlers.caller import why_not
from handlers.evictions import read_letters
from handlers.parts import Parts
from realtime.redis_bus import RedisBus
from rooms.keeper import now_ms
from rounds import Rounds

LAG_SECONDS = 0.02
SILENT_EVERY = 60.0


def keep(rounds: Rounds, parts: Parts) -> None:
    """All but the bus, which is to outlive the requests."""
    every, hub, presence = rounds.every, parts.hub, parts.presence
    lease = parts.settings.presence.lease_seconds
    every(parts.settings.realtime.check_seconds, "check", hub.check)
    every(1, "audience", lambda: hub.show_audience(parts.members.counts))
    every(1, "heartbeat", lambda: _beat(parts))
    every(1, "expiry", lambda: _expire(parts))
    every(0.5, "lag", lambda: _measure_lag(parts))
    every(0.2, "parted", presence.flush)
    every(0.5, "absences", presence.look_after)
    every(lease / 3, "lease", presence.renew)
    every(lease / 3, "sweep", presence.sweep)
    every(SILENT_EVERY, "silent", presence.miss_silent)
    every(0.5, "letters", lambda: read_letters(parts))
    every(1, "places", Doubts(parts).check)
    rounds.until_stopped("errands", parts.errands.run)
    if parts.relay:
        rounds.until_stopped("relay", parts.relay.run)


def keep_bus(rounds: Rounds, parts: Parts) -> None:
    if isinstance(parts.bus, RedisBus):
        rounds.until_stopped("bus_hears", parts.bus.hear)
        rounds.until_stopped("bus_speaks", parts.bus.speak)


class Doubts:
    """Looks whether everybody who listens here still may: whenever the bus may have lost a word,
    and once per lease without any reason."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._gaps = 0
        self._checked_at = time.monotonic()

    async def check(self) -> None:
        parts, now, gaps = self._parts, time.monotonic(), self._parts.bus.gaps
        lease = parts.settings.presence.lease_seconds
        doubtful = gaps != self._gaps or not parts.bus.healthy
        if not doubtful and now - self._checked_at < lease:
            return
        if doubtful:
            parts.hub.stir_all()
        await read_letters(parts)  # which say more of why somebody is out
        await parts.hub.check_places(
            parts.places.standing, lambda live_id, user_id: why_not(parts, live_id, user_id)
        )
        self._gaps, self._checked_at = gaps, now


async def _beat(parts: Parts) -> None:
    realtime, limits = parts.settings.realtime, parts.settings.limits
    parts.hub.beat(
        time.monotonic(),
        every=realtime.heartbeat_seconds,
        silent=realtime.silent_seconds,
        slow=limits.backlog_seconds,
    )


async def _expire(parts: Parts) -> None:
    """The keeper expires whatever is due before any change; this is a change of nothing else."""
    due = await parts.rooms.due(now_ms())
    changes = (parts.keeper.change(live_id, lambda _room: None) for live_id in due)
    for outcome in await asyncio.gather(*changes, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome  # after all the others have had their turn


async def _measure_lag(parts: Parts) -> None:
    """How much later than asked for the loop comes back."""
    before = time.perf_counter()
    await asyncio.sleep(LAG_SECONDS)
    late = time.perf_counter() - before - LAG_SECONDS
    parts.metrics.loop_lag_seconds.set(max(0.0, late))
