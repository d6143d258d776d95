"""Measures this checkout and another one in turn (`python -m bench compare PATH`)."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from bench.benchmark import Benchmark
from bench.calls.measure import CHANGE_CASES, GIFT_CASES, READ_CASES, LoadCase, measure
from bench.calls.servers import Side
from bench.checkout import Checkout
from bench.fanout.case import RATES, busy_command, events_of_a_run
from bench.fanout.crowd import ListenerCrowd, compile_programs, connected_crowd
from bench.fanout.servers import qlive_server
from bench.joins.opening import Openings
from bench.report import ratios, spread

THIS, OTHER = "this", "other"
Rates = dict[str, dict[str, list[float]]]
"""By figure and side: one value for each pair; a higher one is better."""


class Comparison:
    """Two checkouts, of which each pair of runs measures both, in either order."""

    def __init__(self, benchmark: Benchmark, other: Path) -> None:
        self.parts: dict[str, Callable[[], Awaitable[None]]] = {
            "fanout": self._fanout,
            "reads": lambda: self._calls(READ_CASES),
            "changes": lambda: self._calls(CHANGE_CASES),
            "gifts": lambda: self._calls(GIFT_CASES),
            "joins": self._joins,
        }
        self._checkouts = {THIS: Checkout(), OTHER: Checkout(other)}
        self._benchmark, self._scale = benchmark, benchmark.scale
        self._rates: Rates = defaultdict(lambda: defaultdict(list))

    async def run(self, parts: Sequence[str]) -> None:
        report = self._benchmark.report
        for part in parts:
            with report.timed(part):
                await self.parts[part]()
        rows = [
            (
                name,
                spread(by_side[THIS]),
                spread(by_side[OTHER]),
                spread(ratios(by_side[THIS], by_side[OTHER]), 2),
            )
            for name, by_side in self._rates.items()
        ]
        report.section("Comparison", f"{self._scale.runs} pairs with {self._checkouts[OTHER].root}")
        report.table(["per second", "this checkout", "the other one", "ratio"], rows)

    async def _calls(self, cases: Sequence[LoadCase]) -> None:
        sides = {name: Side(checkout=checkout) for name, checkout in self._checkouts.items()}
        for case in cases:
            for name, runs in (await measure(self._benchmark, case, sides)).items():
                side, _, way = name.partition(",")
                self._rates[f"{case.title}{',' if way else ''}{way}"][side] = runs["rate"]

    async def _fanout(self) -> None:
        program, library = compile_programs(self._benchmark.folder)
        for sockets in self._scale.sockets:
            async with AsyncExitStack() as stack:
                crowds = {}
                for name, checkout in self._checkouts.items():
                    database = f"bench_fanout_{sockets}_{name}"
                    server = await qlive_server(
                        self._benchmark.uri, database, sockets, library, checkout
                    )
                    connecting = connected_crowd(
                        sockets,
                        server.command,
                        program,
                        *server.options,
                        environment=checkout.environment(),
                        cwd=checkout.root,
                    )
                    crowds[name] = await stack.enter_async_context(connecting)
                await self._send_events(crowds, sockets)

    async def _send_events(self, crowds: Mapping[str, ListenerCrowd], sockets: int) -> None:
        rate = RATES[1] * 1_000 // max(sockets, 1_000)
        commands = {"quiet": f"quiet {events_of_a_run(sockets)} q", "busy": busy_command(rate)}
        for pair in range(self._scale.runs + 1):  # pair 0 is the warm-up
            for kind, command in commands.items():
                for name in sorted(crowds, reverse=bool(pair % 2)):
                    figures = await crowds[name].run(command)
                    if pair:
                        rates = self._rates[f"deliveries to {sockets:,} sockets, {kind}"]
                        rates[name].append(figures.deliveries_per_cpu_second)

    async def _joins(self) -> None:
        binaries = compile_programs(self._benchmark.folder)
        openings = {
            name: Openings(checkout, self._benchmark.uri, f"bench_opening_{name}", *binaries)
            for name, checkout in self._checkouts.items()
        }
        for opening in openings.values():
            await opening.prepare(self._scale.opened)
        for pair in range(self._scale.runs):
            for name in sorted(openings, reverse=bool(pair % 2)):
                rates = await openings[name].open_all()
                self._rates["sockets opened, by CPU time"][name].append(rates.cpu)
                self._rates["sockets opened"][name].append(rates.wall)
