"""Result of a run: one JSON line, and one row of a table."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from chaos.metrics import percentile
from chaos.operations import UNIQUE
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
        "rejections": dict(metrics.rejections.most_common(12)),
        "settled_after": rounded(run.settled_after),
        **_seconds("delivery", _delivery_seconds(run)),
        **_seconds("recovery", metrics.recovery_seconds),
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


def _delivery_seconds(run: Run) -> list[float]:
    """Time from the response to an operation until clients received its event."""
    return [
        max(0.0, at - operation.acknowledged_at)
        for room in run.rooms
        for operation in room.operations
        if operation.key.startswith(UNIQUE)
        for at in run.metrics.delivered_at.get(operation.key, ())
    ]


def _seconds(name: str, values: list[float]) -> dict[str, Any]:
    shares = {"p50": 0.5, "p99": 0.99, "max": 1}
    return {f"{name}_{it}": rounded(percentile(values, share)) for it, share in shares.items()}


def in_ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


COLUMNS = (
    "clients",
    "deliveries",
    "gaps",
    "duplicates",
    "out_of_order",
    "acknowledged",
    "lost",
    "reconnects",
    "delivery_p50",
    "delivery_p99",
    "recovery_p99",
)


def table(reports: list[RunReport]) -> str:
    """Markdown table with one row per run; durations are seconds."""
    heads = ["run", "seconds", *(name.replace("_", " ") for name in COLUMNS), "goals", "result"]
    lines = [_row(heads), _row(["---"] * len(heads))]
    for report in reports:
        metrics = [report.metrics.get(name) for name in COLUMNS]
        name = f"{report.scenario} {report.seed}"
        goals = "; ".join(report.goals)
        lines.append(_row([name, report.seconds, *metrics, goals, _result(report)]))
    return "\n".join(lines)


def _result(report: RunReport) -> str:
    violations = [f"{name}: {count}" for name, count in report.violations.items()]
    return "passed" if report.passed else "; ".join([*violations, *report.missed])


def _row(cells: list[Any]) -> str:
    words = ("" if cell is None else str(cell).replace("|", "/") for cell in cells)
    return f"| {' | '.join(words)} |"
