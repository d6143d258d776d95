"""Counters and latencies measured during a run."""

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from chaos.operations import key_of
from chaos.timeline import Frame


@dataclass
class RunMetrics:
    """Durations are seconds; times that are compared with those of events are time.time()."""

    reconnects: int = 0
    silence_timeouts: int = 0
    byes: Counter[int] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    rejections: Counter[str] = field(default_factory=Counter)
    recovery_seconds: dict[str, list[float]] = field(default_factory=dict)
    """Seconds from connection loss to the next first frame, by cause."""
    delivered_at: dict[str, list[float]] = field(default_factory=dict)
    """Times at which an operation's event reached connected clients, by key."""
    answers: list[tuple[float, float]] = field(default_factory=list)
    """(time, seconds until the response) of successful API requests."""
    unavailable: list[tuple[float, int]] = field(default_factory=list)
    """(time, status) of requests without a response (0) or with 503."""
    recovered_at: list[float] = field(default_factory=list)
    """Times at which clients received their first frame after a reconnect."""
    delays: list[tuple[float, float]] = field(default_factory=list)
    """(time, delay since the event's timestamp) of live deliveries to `measured` clients."""

    def record_recovery(self, cause: str, seconds: float) -> None:
        self.recovery_seconds.setdefault(cause, []).append(seconds)
        self.recovered_at.append(time.time())

    def record_delivery(self, frame: Frame, *, measured: bool) -> None:
        """Record that a numbered event is being delivered live."""
        now = time.time()
        if key := key_of(frame):
            self.delivered_at.setdefault(key, []).append(now)
        if measured:
            self.delays.append((now, now - frame["ts"] / 1000))

    def record_status(self, status: int) -> None:
        """Count a response; status 0 means that there was none."""
        self.statuses[status] += 1
        if status in (0, 503):
            self.unavailable.append((time.time(), status))


def percentile(values: Sequence[float], share: float) -> float | None:
    """Nearest-rank percentile for a share from 0 to 1; None without values."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
