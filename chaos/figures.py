"""The figures of a run: what was counted, and how long things took."""

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from chaos.acts import key_of
from chaos.story import Frame

Told = list[tuple[float, int]]


@dataclass
class Figures:
    """Times are seconds; clocks are time.time() where acts and events meet."""

    reconnects: int = 0
    silences: int = 0
    byes: Counter[int] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    backs: dict[str, list[float]] = field(default_factory=dict)
    told: dict[str, list[float]] = field(default_factory=dict)
    """When the event of an act reached clients that were listening."""
    unavailable: list[tuple[float, int]] = field(default_factory=list)
    """When requests went unanswered (0) or were answered 503."""
    returns: list[float] = field(default_factory=list)
    """When clients had their first frame after having been away."""
    delays: list[tuple[float, float]] = field(default_factory=list)
    """(when, how long after it was decided) of live deliveries, to the clients that are `timed`."""

    def back(self, why: str, seconds: float) -> None:
        self.backs.setdefault(why, []).append(seconds)
        self.returns.append(time.time())

    def tell(self, frame: Frame, *, timed: bool) -> None:
        """A live delivery of a numbered event, now."""
        now = time.time()
        if key := key_of(frame):
            self.told.setdefault(key, []).append(now)
        if timed:
            self.delays.append((now, now - frame["ts"] / 1000))

    def answered(self, status: int) -> None:
        """0: not at all."""
        self.statuses[status] += 1
        if status in (0, 503):
            self.unavailable.append((time.time(), status))


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value that this share (0 to 1) does not exceed; None when there is none."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
