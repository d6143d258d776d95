"""What was measured, as it comes for whoever waits and as the page docs/benchmarks.md."""

import statistics
from collections.abc import Sequence
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
PICTURES = PAGE.parent / "pictures"


def spread(values: Sequence[float], digits: int = 0) -> str:
    """The median of the runs, and how far these lie apart."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Run by run: the two were measured in turn."""
    return [a / b for a, b in zip(ours, theirs, strict=True)]


class Report:
    def __init__(self, machine: str) -> None:
        self._lines = [
            "# What things cost",
            "",
            "Written by `make bench`, in one go on one machine that servers, MongoDB and load "
            f"share: {machine}. Every figure with a span beside it is the median of several "
            "runs that were taken in turn, with the lowest and the highest; a ratio is taken "
            "run by run.",
        ]

    def section(self, title: str, words: str) -> None:
        self._say("", f"## {title}", "", words)

    def words(self, words: str) -> None:
        self._say("", words)

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self._say("", _row(heads), _row(["---"] * len(heads)), *map(_row, rows))

    def show(
        self, rows: Sequence[tuple[str, Sequence[float], int]], what: str = "measured"
    ) -> None:
        """A table of (label, values of the runs, digits)."""
        self.table(["", what], [(label, spread(values, digits)) for label, values, digits in rows])

    def picture(self, name: str, words: str) -> None:
        self._say("", f"![{words}](pictures/{name})")

    def write(self) -> None:
        PAGE.write_text("\n".join(self._lines) + "\n")

    def _say(self, *lines: str) -> None:
        print(*lines, sep="\n", flush=True)
        self._lines += lines


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
