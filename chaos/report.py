"""The verdict of a run and its figures: one JSON line, one row of a table."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from chaos.acts import UNIQUE
from chaos.figures import percentile
from chaos.scene import Scene


@dataclass
class Report:
    """Times in seconds but for those named ms."""

    scenario: str
    seed: int
    folder: str
    seconds: float
    size: dict[str, Any] = field(default_factory=dict)
    lasting: float = 0.0
    """What was asked for as --seconds."""
    figures: dict[str, Any] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)
    goals: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    """Of the goals, those that were not reached."""

    @property
    def kept(self) -> bool:
        """Whether every promise was."""
        return not self.faults and not self.missed

    def aim(self, name: str, most: float, *, least: bool = False) -> None:
        """The figure of that name is to be at most (or at least) so much."""
        value = self.figures.get(name)
        words = f"{name} {value}, {'at least' if least else 'at most'} {most}"
        self.goals.append(words)
        if value is None or (value < most if least else value > most):
            self.missed.append(words)

    def line(self) -> str:
        return json.dumps({"kept": self.kept, **asdict(self)}, ensure_ascii=False)


def report_on(scene: Scene, scenario: str, seconds: float, **more: Any) -> Report:
    hearings = [client.hearing for client in scene.clients]
    figures, done = scene.figures, [act for stage in scene.stages for act in stage.acts]
    faults = scene.faults.counts
    found: dict[str, Any] = {
        "clients": len(scene.clients),
        "processes": len(scene.fleet.nodes),
        "server_starts": sum(node.program.starts for node in scene.fleet.nodes),
        "deliveries": sum(hearing.deliveries for hearing in hearings),
        "events": sum(len(story.events) for story in scene.stories.told.values()),
        "gaps": faults["gap"] + faults["behind"],
        "doubles": faults["double"],
        "disorder": faults["disorder"],
        "acknowledged": len(done),
        "lost": faults["lost"],
        "unanswered": sum(stage.unanswered for stage in scene.stages),
        "reconnects": figures.reconnects,
        "resumed": sum(hearing.resumed for hearing in hearings),
        "resets": sum(hearing.resets for hearing in hearings),
        "silences": figures.silences,
        "byes": dict(sorted(figures.byes.items())),
        "statuses": dict(sorted(figures.statuses.items())),
        "refusals": dict(figures.refusals.most_common(12)),
        "level_after": rounded(scene.level_after),
        **told_figures(scene),
        **back_figures(scene),
        **more,
    }
    return Report(
        scenario,
        scene.seed,
        str(scene.fleet.folder),
        round(seconds, 1),
        figures=found,
        faults=dict(faults),
        examples=scene.faults.examples,
    )


def told_figures(
    scene: Scene, during: tuple[float, float] | None = None, name: str = "told"
) -> dict[str, Any]:
    """From the answer to an act until the clients heard of it; of acts answered `during`."""
    waits: list[float] = []
    for stage in scene.stages:
        for act in stage.acts:
            if during and not during[0] <= act.acknowledged <= during[1]:
                continue
            if act.key.startswith(UNIQUE):
                told = scene.figures.told.get(act.key, ())
                waits += [max(0.0, at - act.acknowledged) for at in told]
    return {
        f"{name}_ms_p50": in_ms(percentile(waits, 0.5)),
        f"{name}_ms_p99": in_ms(percentile(waits, 0.99)),
        f"{name}_ms_max": in_ms(percentile(waits, 1)),
    }


def back_figures(scene: Scene) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for why, values in sorted(scene.figures.backs.items()):
        found[f"back_{why}_count"] = len(values)
        found[f"back_{why}_p95"] = rounded(percentile(values, 0.95))
        found[f"back_{why}_max"] = rounded(percentile(values, 1))
    return found


def in_ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


COLUMNS = (
    "clients",
    "deliveries",
    "gaps",
    "doubles",
    "disorder",
    "acknowledged",
    "lost",
    "reconnects",
    "told_ms_p50",
    "told_ms_p99",
    "back_kill_p95",
    "back_kill_max",
)


def table(reports: list[Report]) -> str:
    """One row per run, as Markdown; columns in ms say so, all other times are seconds."""
    heads = ["run", "seconds", *(name.replace("_", " ") for name in COLUMNS), "goals", "verdict"]
    lines = [_row(heads), _row(["---"] * len(heads))]
    for report in reports:
        figures = [report.figures.get(name) for name in COLUMNS]
        name = f"{report.scenario} {report.seed}"
        goals = "; ".join(report.goals)
        lines.append(_row([name, report.seconds, *figures, goals, _verdict(report)]))
    return "\n".join(lines)


def _verdict(report: Report) -> str:
    broken = [f"{name}: {count}" for name, count in report.faults.items()]
    return "kept" if report.kept else "; ".join([*broken, *report.missed])


def _row(cells: list[Any]) -> str:
    words = ("" if cell is None else str(cell).replace("|", "/") for cell in cells)
    return f"| {' | '.join(words)} |"
