"""A scenario, and the parameters of one run of it."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.report import RunReport
from chaos.run import RunSize


@dataclass(frozen=True)
class RunConfig:
    """Parameters of one run; `seconds` is explained by each scenario."""

    folder: Path
    size: RunSize
    seconds: float
    seed: int = 1
    paths: tuple[str, ...] = ()
    """For `crash`: the paths to crash on; all if empty."""


@dataclass(frozen=True)
class Scenario:
    """A kind of run with its default size and length.

    `rounds`: a run takes that many times its seconds.
    """

    run: Callable[[RunConfig], Coroutine[Any, Any, RunReport]]
    help: str
    size: RunSize
    seconds: float
    rounds: int = 1
    alerts: tuple[str, ...] = ()
    """Alerts of deploy/alerts.yml that a run has to fire."""
