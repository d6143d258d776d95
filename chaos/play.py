"""What a scenario is given: where, how large, how long, and the seed."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.report import Report
from chaos.scene import Size


@dataclass(frozen=True)
class Play:
    """One run to be made."""

    folder: Path
    size: Size
    seconds: float
    seed: int = 1


@dataclass(frozen=True)
class Scenario:
    """A kind of run with its sizes: for a quick look, and in full.

    `rounds` is how often its seconds pass.
    """

    run: Callable[[Play], Coroutine[Any, Any, Report]]
    help: str
    quick: tuple[Size, float]
    full: tuple[Size, float]
    rounds: int = 1
