"""Counters measured during a run."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class RunMetrics:
    """Durations are seconds; times are time.time()."""

    reconnects: int = 0
    silence_timeouts: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    """Status 0 means that there was no response."""
    answers: list[tuple[float, float]] = field(default_factory=list)
    """(time, seconds until the response) of successful API requests."""


def percentile(values: Sequence[float], share: float) -> float | None:
    """Nearest-rank percentile for a share from 0 to 1; None without values."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
