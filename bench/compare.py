"""Measures this checkout and another one in turn (`python -m bench compare PATH`)."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from bench.benchmark import Benchmark
from bench.calls.measure import CHANGE_CASES, GIFT_CASES, READ_CASES, LoadCase, measure
from bench.calls.servers import Side
from bench.checkout import Checkout
from bench.fanout.case import RATES, busy_command, events_of_a_run
from bench.fanout.crowd import compile_programs, connected_crowd
from bench.fanout.servers import qlive_server
from bench.joins.opening import open_all, opening_server
from bench.report import ratios, spread

THIS, OTHER = "this", "other"
Checkouts = Mapping[str, Checkout]
"""Two checkouts, of which each pair of runs measures both, in either order."""
Rates = dict[str, dict[str, list[float]]]
"""By figure and side: one value for each pair; a higher one is better."""


async def compare_checkouts(benchmark: Benchmark, other: Path, parts: Sequence[str]) -> None:
    checkouts = {THIS: Checkout(), OTHER: Checkout(other)}
    rates: Rates = defaultdict(lambda: defaultdict(list))
    for part in parts:
        with benchmark.report.timed(part):
            await PARTS[part](benchmark, checkouts, rates)
    rows = [
        (
            name,
            spread(by_side[THIS]),
            spread(by_side[OTHER]),
            spread(ratios(by_side[THIS], by_side[OTHER]), 2),
        )
        for name, by_side in rates.items()
    ]
    benchmark.report.section("Comparison", f"{benchmark.scale.runs} pairs with {other}")
    benchmark.report.table(["per second", "this checkout", "the other one", "ratio"], rows)


async def _calls(
    cases: Sequence[LoadCase], benchmark: Benchmark, checkouts: Checkouts, rates: Rates
) -> None:
    sides = {name: Side(checkout=checkout) for name, checkout in checkouts.items()}
    for case in cases:
        for name, runs in (await measure(benchmark, case, sides)).items():
            side, _, way = name.partition(",")
            rates[f"{case.title}{',' if way else ''}{way}"][side] = runs["rate"]


async def _fanout(benchmark: Benchmark, checkouts: Checkouts, rates: Rates) -> None:
    program, library = compile_programs(benchmark.folder)
    for sockets in benchmark.scale.sockets:
        rate = RATES[1] * 1_000 // max(sockets, 1_000)
        commands = {"quiet": f"quiet {events_of_a_run(sockets)} q", "busy": busy_command(rate)}
        async with AsyncExitStack() as stack:
            crowds = {}
            for name, checkout in checkouts.items():
                database = f"bench_fanout_{sockets}_{name}"
                server = await qlive_server(benchmark.uri, database, sockets, library, checkout)
                connecting = connected_crowd(server, sockets, program)
                crowds[name] = await stack.enter_async_context(connecting)
            for pair in range(benchmark.scale.runs + 1):  # pair 0 is the warm-up
                for kind, command in commands.items():
                    figure = f"deliveries to {sockets:,} sockets, {kind}"
                    for name in sorted(crowds, reverse=bool(pair % 2)):
                        figures = await crowds[name].run(command)
                        if pair:
                            rates[figure][name].append(figures.deliveries_per_cpu_second)


async def _joins(benchmark: Benchmark, checkouts: Checkouts, rates: Rates) -> None:
    program, library = compile_programs(benchmark.folder)
    servers = {
        name: await opening_server(benchmark, checkout, f"bench_opening_{name}", library)
        for name, checkout in checkouts.items()
    }
    for pair in range(benchmark.scale.runs):
        for name in sorted(servers, reverse=bool(pair % 2)):
            by_second, by_cpu = await open_all(benchmark, servers[name], program)
            rates["sockets opened, by CPU time"][name].append(by_cpu)
            rates["sockets opened"][name].append(by_second)


PARTS: dict[str, Callable[[Benchmark, Checkouts, Rates], Awaitable[None]]] = {
    "fanout": _fanout,
    "reads": partial(_calls, READ_CASES),
    "changes": partial(_calls, CHANGE_CASES),
    "gifts": partial(_calls, GIFT_CASES),
    "joins": _joins,
}
