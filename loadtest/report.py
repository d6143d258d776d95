"""The figures of a load test, as text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from loadtest.measurements import Measurements, Sample, percentile
from loadtest.options import LoadOptions

SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
BUSY_LAG_SECONDS = 0.05
ANSWER, LAST, AFTER, RECONNECT = (
    "answer",
    "request to last member",
    "answer to last member",
    "reconnect",
)


@dataclass(frozen=True, slots=True)
class Figures:
    """The percentiles of one kind of duration."""

    name: str
    samples: Sequence[Sample]

    @property
    def ordered(self) -> list[float]:
        return sorted(sample.seconds for sample in self.samples)

    def row(self) -> list[str]:
        """Name, number, and milliseconds."""
        ordered = self.ordered
        cells = [f"{percentile(ordered, share) * 1000:.1f}" for share in SHARES.values()]
        return [self.name, str(len(ordered)), *(cells if ordered else "-" * len(SHARES))]


@dataclass(frozen=True, slots=True)
class LoadReport:
    options: LoadOptions
    measurements: Measurements
    at: datetime
    """When the test ended."""

    @property
    def kinds(self) -> list[Figures]:
        """The four kinds of duration."""
        it = self.measurements
        answers = [sample for samples in it.answers.values() for sample in samples]
        return [
            Figures(ANSWER, answers),
            Figures(LAST, it.to_last_member()),
            Figures(AFTER, it.after_answer()),
            Figures(RECONNECT, it.reconnects),
        ]

    @property
    def calls(self) -> list[Figures]:
        return [Figures(*item) for item in sorted(self.measurements.answers.items())]

    @property
    def header(self) -> list[str]:
        return ["[ms]", "number", *SHARES]

    def summary(self) -> list[str]:
        """Sentences about the load, and about what was not as it should be."""
        mix, it = self.options.mix, self.measurements
        return [
            f"{self.options.url}, {self.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC, "
            f"{it.seconds:.0f} s of load",
            f"{mix.hosts} hosts, {mix.viewers} viewers, {mix.senders} senders "
            f"({self.options.sends}, {self.options.rate:g}/s each)",
            *self._losses(),
        ]

    def _losses(self) -> Iterator[str]:
        it = self.measurements
        reached = sum(min(one.received, one.listeners) for one in it.deliveries.values())
        expected = sum(one.listeners for one in it.deliveries.values())
        yield (
            f"{reached} of {expected} deliveries to connected members; {it.replayed} events were "
            "replayed to members who reconnected"
        )
        for (call, status, code), number in sorted(it.statuses.items()):
            if status != 200:
                yield f"{number} x {call}: {f'{status} {code}'.strip() if status else 'no answer'}"
        for close, number in sorted(it.closes.items()):
            yield f"{number} x socket closed by the server: {close}"
        lag = percentile(sorted(sample.seconds for sample in it.lags), 0.99)
        if lag > BUSY_LAG_SECONDS:
            yield (
                f"This program was late by {lag * 1000:.0f} ms (p99), and with it all figures: use "
                "fewer users or a faster machine."
            )

    def text(self) -> str:
        lines = [*self.summary(), "", *_table(self.header, [it.row() for it in self.kinds])]
        return "\n".join([*lines, "", *_table(self.header, [it.row() for it in self.calls])])


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    width = max([len(header[0]), *(len(row[0]) for row in rows)])
    for first, *cells in (header, *rows):
        yield first.ljust(width) + "".join(cell.rjust(10) for cell in cells)
