"""Results of the benchmarks: printed as they come, then written to docs/benchmarks.md."""

import contextlib
import statistics
import time
from collections.abc import Iterator, Sequence
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
    """The page, the folder for its pictures, and how long each part took."""

    def __init__(self, machine: str, pictures: Path) -> None:
        self.pictures = pictures
        self._times: list[tuple[str, float]] = []
        self._lines = [
            "# What things cost",
            "",
            "Written by `make bench`, in one go on one machine that servers, MongoDB and load "
            f"share: {machine}. Every figure with a span beside it is the median of several "
            "runs that were taken in turn, with the lowest and the highest; a ratio is taken "
            "run by run.",
        ]

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Records the wall time of the block; `CASE: PART` names a part of a case."""
        began, place = time.monotonic(), len(self._times)
        try:
            yield
        finally:
            seconds = time.monotonic() - began
            self._times.insert(place, (name, seconds))  # a case before its parts
            print(f"  {name}: {seconds:.0f} s", flush=True)

    def times(self) -> None:
        """The wall time of all that was timed."""
        total = sum(seconds for name, seconds in self._times if ":" not in name)
        self.section("How long it took", f"{total / 60:.1f} minutes in all.")
        self.table(["", "seconds"], [(name, f"{seconds:.0f}") for name, seconds in self._times])

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
