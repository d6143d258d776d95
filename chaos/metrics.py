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
    statuses: Counter[int] = field(default_factory=Counter)
    """Status 0 means that there was no response."""
    rejections: Counter[str] = field(default_factory=Counter)
    recovery_seconds: list[float] = field(default_factory=list)
    """From connection loss to the next first frame."""
    delivered_at: dict[str, list[float]] = field(default_factory=dict)
    """Times at which an operation's event reached connected clients, by key."""
    answers: list[tuple[float, float]] = field(default_factory=list)
    """(time, seconds until the response) of successful API requests."""

    def record_delivery(self, frame: Frame) -> None:
        """Record that a numbered event is being delivered live."""
        if key := key_of(frame):
            self.delivered_at.setdefault(key, []).append(time.time())


def percentile(values: Sequence[float], share: float) -> float | None:
    """Nearest-rank percentile for a share from 0 to 1; None without values."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
