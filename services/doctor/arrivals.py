"""Callbacks of WeChat and Tencent: when each kind arrived, and which are missing."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from storage.jobs.arrivals import WEEK, Arrival, ArrivalStore
from telemetry.metrics import Metrics
from tencent.callbacks import IM_COMMANDS, LIVE_EVENT_TYPES
from tencent.message_push import MEDIA_CHECKED, NOTICE_EVENTS, PLATFORM_EVENTS
from tencent.pay import PAYMENTS
from tencent.transfers import TRANSFERS
from tencent.xpay import DELIVERED, REFUNDED

FLUSH_SECONDS = 60.0
"""Interval of writes; a kind is written once in it, however often it comes."""
PUSH_EVENTS = (DELIVERED, REFUNDED, MEDIA_CHECKED, *NOTICE_EVENTS, *PLATFORM_EVENTS)
KINDS = frozenset(
    f"{source}:{name}"
    for source, names in {
        "im": IM_COMMANDS,
        "live": LIVE_EVENT_TYPES,
        "push": PUSH_EVENTS,
        "notification": (*PAYMENTS, *TRANSFERS),
    }.items()
    for name in names
)
"""Kinds that QLive uses; any other counts as `other` of its source."""
HOURLY = 150
"""Hours with a callback, of a week's 168, from which on a kind is expected every hour; a kind that
pauses at night has fewer."""
SILENCE, OTHERS_COME = timedelta(hours=6), timedelta(hours=1)


class ArrivalService:
    """Notes what arrives at this process, and which kinds no process has received for hours."""

    def __init__(self, arrivals: ArrivalStore, metrics: Metrics) -> None:
        self._arrivals = arrivals
        self._metrics = metrics
        self._waiting: dict[str, tuple[datetime, datetime]] = {}

    def note(self, source: str, name: str) -> None:
        """Note a callback whose signature is right; `flush` stores it."""
        kind, now = f"{source}:{name}", datetime.now(UTC)
        kind = kind if kind in KINDS else f"{source}:other"
        first_at, _ = self._waiting.get(kind, (now, now))
        self._waiting[kind] = first_at, now

    async def flush(self) -> None:
        """Store what has arrived; it is kept for the next time if that fails."""
        if stored := dict(self._waiting):
            await self._arrivals.add(stored)
        self._waiting = {
            kind: times for kind, times in self._waiting.items() if times != stored.get(kind)
        }

    async def run(self) -> None:
        """Store what has arrived, and show the kinds that are missing in the metrics."""
        await self.flush()
        now = datetime.now(UTC)
        self._metrics.show_missing_callbacks(missing(await self._arrivals.all(), now))


def missing(arrivals: Sequence[Arrival], now: datetime) -> Mapping[str, float]:
    """Return the kinds that came hourly and have not come for SILENCE, with the seconds since.

    Nothing is missing if no callback comes at all, nor a week after the last one of its kind.
    """
    if all(now - row.last_at > OTHERS_COME for row in arrivals):
        return {}
    return {
        row.kind: (now - row.last_at).total_seconds()
        for row in arrivals
        if row.hours >= HOURLY and SILENCE < now - row.last_at < WEEK
    }
