"""What a run has measured and found: one JSON line, and a summary."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

MAX_EXAMPLES = 5

Violation = tuple[str, str]
"""Kind and detail of a violated guarantee."""


class Violations:
    """Violated guarantees by kind: a count and some examples; true if there is any."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}

    def add(self, kind: str, example: str) -> None:
        self.counts[kind] += 1
        examples = self.examples.setdefault(kind, [])
        if len(examples) < MAX_EXAMPLES:
            examples.append(example)

    def add_all(self, violations: Iterable[Violation]) -> None:
        for kind, example in violations:
            self.add(kind, example)

    def __bool__(self) -> bool:
        return bool(self.counts)


@dataclass
class RunMetrics:
    """Durations are seconds; times are time.time()."""

    reconnects: int = 0
    silence_timeouts: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    """Status 0 means that there was no response."""
    answers: list[tuple[float, float]] = field(default_factory=list)
    """(time, seconds until the response) of successful API requests."""


@dataclass
class RunReport:
    """Durations are seconds, unless the name contains ms."""

    scenario: str
    seed: int
    folder: str = ""
    seconds: float = 0.0
    size: dict[str, Any] = field(default_factory=dict)
    requested_seconds: float = 0.0
    """The value of --seconds."""
    metrics: dict[str, Any] = field(default_factory=dict)
    violations: Violations = field(default_factory=Violations)
    required: list[tuple[str, float, bool]] = field(default_factory=list)

    def require(self, metric: str, limit: float, *, at_least: bool = False) -> None:
        """Add a goal: at the end, the metric must be at most (or at least) `limit`."""
        self.required.append((metric, limit, at_least))

    @property
    def goals(self) -> dict[str, bool]:
        """Each goal, and whether it is reached."""
        goals: dict[str, bool] = {}
        for metric, limit, at_least in self.required:
            value = self.metrics.get(metric)
            text = f"{metric} {value}, {'at least' if at_least else 'at most'} {limit}"
            goals[text] = value is not None and (value >= limit if at_least else value <= limit)
        return goals

    @property
    def missed(self) -> list[str]:
        """The goals that were not reached."""
        return [goal for goal, is_reached in self.goals.items() if not is_reached]

    @property
    def passed(self) -> bool:
        return not self.violations and not self.missed

    @property
    def summary(self) -> str:
        """One line for a person."""
        counts = self.violations.counts.items()
        failures = [*(f"{kind}: {count}" for kind, count in counts), *self.missed]
        result = "passed" if self.passed else f"FAILED ({'; '.join(failures)})"
        return f"{self.scenario} {self.seed}: {result}, {self.seconds} s; {'; '.join(self.goals)}"

    def line(self) -> str:
        found = self.violations
        fields = {name: value for name, value in vars(self).items() if name != "required"}
        fields |= {"violations": found.counts, "examples": found.examples}
        fields |= {"goals": [*self.goals], "missed": self.missed}
        return json.dumps({"passed": self.passed, **fields}, ensure_ascii=False)


def percentile(values: Sequence[float], share: float) -> float | None:
    """Nearest-rank percentile for a share from 0 to 1; None without values."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def in_ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
