"""A scenario, and the frame of those that have users under load."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from chaos.fleet import RunSize
from chaos.invariants import check_invariants
from chaos.report import RunReport
from chaos.run import Run, started_run


@dataclass(frozen=True)
class RunConfig:
    """Parameters of one run; `seconds` is explained by each scenario."""

    folder: Path
    size: RunSize
    seconds: float
    seed: int = 1
    paths: tuple[str, ...] = ()
    """For `crash`: the paths to crash on; all if empty."""


RunScenario = Callable[[RunConfig, RunReport], Awaitable[None]]
"""Adds metrics, violations and goals to the report."""


@dataclass(frozen=True)
class Scenario:
    """A kind of run with its default size and length.

    `rounds`: a run takes that many times its seconds.
    """

    run: RunScenario
    help: str
    size: RunSize
    seconds: float
    rounds: int = 1
    alerts: tuple[str, ...] = ()
    """Alerts of deploy/alerts.yml that a run has to fire."""


def under_load(
    inject: Callable[[Run, RunReport, float], Awaitable[None]], *, quiet: int = 0
) -> RunScenario:
    """Run users and load, during which `inject` is called with the seconds of the run.

    `quiet`: number of rooms, the last ones, that stay without load.
    """

    async def run_scenario(config: RunConfig, report: RunReport) -> None:
        async with started_run(config.folder, config.size, config.seed, report.violations) as run:
            run.start_load(quiet=quiet)
            await inject(run, report, config.seconds)
            await run.settle()
            await check_invariants(run)
            report.metrics = {**run.summary(), **report.metrics}

    return run_scenario
