"""Result of a run: one JSON line, and a summary."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from chaos.run import Run


@dataclass
class RunReport:
    """Durations are seconds, unless the name contains ms."""

    scenario: str
    seed: int
    folder: str
    seconds: float
    size: dict[str, Any] = field(default_factory=dict)
    requested_seconds: float = 0.0
    """The value of --seconds."""
    metrics: dict[str, Any] = field(default_factory=dict)
    violations: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)
    goals: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    """The goals that were not reached."""

    @property
    def passed(self) -> bool:
        return not self.violations and not self.missed

    def require(self, name: str, limit: float, *, at_least: bool = False) -> None:
        """Add a goal: the metric must be at most (or at least) `limit`."""
        value = self.metrics.get(name)
        goal = f"{name} {value}, {'at least' if at_least else 'at most'} {limit}"
        self.goals.append(goal)
        if value is None or (value < limit if at_least else value > limit):
            self.missed.append(goal)

    @property
    def summary(self) -> str:
        """One line for a person."""
        failures = [*(f"{kind}: {count}" for kind, count in self.violations.items()), *self.missed]
        result = "passed" if self.passed else f"FAILED ({'; '.join(failures)})"
        return f"{self.scenario} {self.seed}: {result}, {self.seconds} s; {'; '.join(self.goals)}"

    def line(self) -> str:
        return json.dumps({"passed": self.passed, **asdict(self)}, ensure_ascii=False)


def make_report(run: Run, scenario: str, seconds: float, **more: Any) -> RunReport:
    """Summarize a run; `more` are metrics of the scenario."""
    checkers = [client.checker for client in run.clients]
    metrics, violations = run.metrics, run.violations.counts
    operations = [operation for room in run.rooms for operation in room.operations]
    timelines = run.timelines.by_session.values()
    found: dict[str, Any] = {
        "clients": len(run.clients),
        "processes": len(run.fleet.nodes),
        "server_starts": sum(node.program.starts for node in run.fleet.nodes),
        "deliveries": sum(checker.deliveries for checker in checkers),
        "events": sum(len(timeline.events) for timeline in timelines),
        "gaps": violations["gap"] + violations["behind"],
        "duplicates": violations["duplicate"],
        "out_of_order": violations["out_of_order"],
        "acknowledged": len(operations),
        "lost": violations["lost"],
        "unanswered": sum(room.unanswered for room in run.rooms),
        "reconnects": metrics.reconnects,
        "resumed": sum(checker.resumed for checker in checkers),
        "resets": sum(checker.resets for checker in checkers),
        "silence_timeouts": metrics.silence_timeouts,
        "statuses": dict(sorted(metrics.statuses.items())),
        "settled_after": rounded(run.settled_after),
        **more,
    }
    return RunReport(
        scenario,
        run.seed,
        str(run.fleet.folder),
        round(seconds, 1),
        metrics=found,
        violations=dict(violations),
        examples=run.violations.examples,
    )


def in_ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
