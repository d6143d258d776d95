"""Cost of the rate limits, and of traces that are off, for get_user_state."""

import random
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.calls import case as calls
from bench.calls.guests import create_guests
from bench.calls.requests import READS, read_request, write_request_file
from bench.fanout.crowd import CompilerMissing, compile_c
from bench.overhead import variants
from bench.overhead.blocks import BLOCK, WARM_UP, Cost, VariedServer, varied_server
from bench.overhead.variants import LIMIT_REPEATS, SHIPPED, TRACE_REPEATS
from bench.report import BenchmarkReport

SERVERS, ROUNDS = 3, 12
RESAMPLES = 2_000


class Comparison(NamedTuple):
    """Two variants; `more` does `times` as often what `less` does not do."""

    title: str
    more: str
    less: str
    times: int = 1


COMPARISONS = (
    Comparison(
        f"rate limits, {LIMIT_REPEATS} times",
        variants.LIMITS_REPEATED,
        variants.UNLIMITED_REPEATED,
        LIMIT_REPEATS,
    ),
    Comparison(
        f"control: nothing, {LIMIT_REPEATS} times",
        variants.LIMITS_REPEATED,
        variants.LIMITS_REPEATED_AGAIN,
        LIMIT_REPEATS,
    ),
    Comparison(
        f"traces that are off, {TRACE_REPEATS} times",
        variants.TRACES_REPEATED,
        variants.TRACES_EMPTY,
        TRACE_REPEATS,
    ),
    Comparison("rate limits, as they are", SHIPPED, variants.UNLIMITED),
    Comparison("traces that are off, as they are", SHIPPED, variants.UNTRACED),
    Comparison("control: a span for each request", variants.TRACED, SHIPPED),
)
Costs = tuple[Cost, Cost]
"""Of more and less, in both blocks of each."""
Results = Mapping[Comparison, Sequence[Costs]]


async def run(report: BenchmarkReport, uri: str, folder: Path) -> None:
    report.section(
        "Overhead",
        f"What rate limits, and traces that are off, cost get_user_state at {calls.CONNECTIONS} "
        "connections. One process, the full server, changes between two variants: blocks of "
        f"{BLOCK} requests in the order a b b a or b a a b, at random, each after {WARM_UP} that "
        f"are not measured; {SERVERS * ROUNDS} times for each comparison, in {SERVERS} processes. "
        "The cost of a request varies by more than what is measured: so each request does that "
        "many times, and the difference is divided by their number. Medians of the CPU of the "
        "process and of the time for a request, in µs and in percent of a request as shipped, "
        "with the 95 % interval of the median (bootstrap).",
    )
    try:
        load = compile_c(calls.HERE / "load.c", folder / "load")
    except CompilerMissing as error:
        report.paragraph(f"Not measured: {error}.")
        return
    database, request_file = "bench_overhead", folder / "overhead"
    guests = await create_guests(uri, database, calls.ROOMS, calls.CONNECTIONS)
    requests = [read_request(READS["get_user_state"], guest) for guest in guests]
    write_request_file(request_file, requests)
    results: dict[Comparison, list[Costs]] = defaultdict(list)
    client = (load, calls.CONNECTIONS, request_file)
    for _ in range(SERVERS):
        async with varied_server(*client, uri, database, folder) as server:
            await _measure(server, results)
    _report(report, results)


async def _measure(server: VariedServer, results: dict[Comparison, list[Costs]]) -> None:
    for _ in range(ROUNDS):
        for comparison in random.sample(COMPARISONS, len(COMPARISONS)):
            costs = await server.both(comparison.more, comparison.less)
            results[comparison].append(costs)


def _report(report: BenchmarkReport, results: Results) -> None:
    shipped = [*_costs_of(SHIPPED, results)]
    cpu = statistics.median(cost.cpu for cost in shipped)
    seconds = statistics.median(cost.seconds for cost in shipped)
    rows = []
    for comparison in COMPARISONS:
        costs = results[comparison]
        extra_cpu = [(more.cpu - less.cpu) / comparison.times for more, less in costs]
        extra = [(more.seconds - less.seconds) / comparison.times for more, less in costs]
        rows.append(
            (comparison.title, *_cpu(extra_cpu), *_share(extra_cpu, cpu), *_share(extra, seconds))
        )
    interval = "95 % interval"
    report.table(
        ["", "CPU a request [µs]", "quartiles", "CPU [%]", interval, "time [%]", interval],
        rows,
    )
    report.paragraph(
        f"As shipped, a request takes {_microseconds(cpu):.0f} µs of CPU, and the server answers "
        f"{2 * BLOCK / seconds:,.0f} a second."
    )


def _costs_of(variant: str, results: Results) -> Iterator[Cost]:
    for comparison, costs in results.items():
        if variant in (comparison.more, comparison.less):
            side = int(variant == comparison.less)
            yield from (both[side] for both in costs)


def _cpu(extra: Sequence[float]) -> tuple[str, str]:
    low, _, high = (_microseconds(value) for value in statistics.quantiles(extra, n=4))
    return f"{_microseconds(statistics.median(extra)):.2f}", f"{low:.2f} to {high:.2f}"


def _share(extra: Sequence[float], whole: float) -> tuple[str, str]:
    """Percentage of `whole`, and the interval that has the medians of 95 % of the resamples."""
    medians = [statistics.median(random.choices(extra, k=len(extra))) for _ in range(RESAMPLES)]
    cuts = [cut / whole * 100 for cut in statistics.quantiles(medians, n=40)]
    return f"{statistics.median(extra) / whole * 100:.2f}", f"{cuts[0]:.2f} to {cuts[-1]:.2f}"


def _microseconds(seconds: float) -> float:
    """Of one request, from both blocks."""
    return seconds / (2 * BLOCK) * 1e6
