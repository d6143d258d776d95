"""Reads, compared with FastAPI and Tornado, and changes and gifts over HTTP."""

import os
from collections.abc import Mapping, Sequence

from bench.benchmark import Benchmark
from bench.calls.measure import (
    CHANGE_CASES,
    CONNECTIONS,
    GIFT_CASES,
    MANY_ROOMS,
    ONE_BY_ONE,
    READ_CASES,
    ROOMS,
    LoadCase,
    LoadRuns,
    measure,
)
from bench.calls.servers import Side
from bench.report import ratios, spread

QLIVE, TORNADO, FASTAPI = "QLive", "Tornado", "FastAPI"
CHECKED = ("nickname", "room_name", "face", "cover")
CHECKS_ON = {**dict.fromkeys(CHECKED, "hide_until_checked"), "risk_rank_high": 4}
CHECKS_OFF = {**dict.fromkeys(CHECKED, "off"), "risk_rank_high": 0}
GIVING_ON = {
    "giving": dict.fromkeys(("gift_gold", "day_gold", "month_gold", "cool_off_gold"), 10**12),
    "age_verification": {"provider": "manual"},
}
"""Rules of giving that no gift of a run reaches."""
HEADER = ("", "responses per second", "p50 [ms]", "p99 [ms]")


async def reads(benchmark: Benchmark) -> None:
    benchmark.report.section(
        "Reads",
        f"{CONNECTIONS} connections, each of which sends the next request once it has the response "
        "(`bench/calls/load.c`, one thread in C). Each server is one process, which shares "
        f"{os.cpu_count()} cores with MongoDB and the load generator. QLive is the full server, "
        "with a log line per request; the peers make the straightforward PyMongo queries one after "
        "another: FastAPI on uvicorn with uvloop and httptools, and plain Tornado handlers on "
        f"uvloop. {benchmark.scale.runs} alternating runs of {benchmark.scale.seconds:g} s.",
    )
    sides = {QLIVE: Side(), TORNADO: Side("tornado_")}
    if "FastAPI" in benchmark.peers.versions:
        sides[FASTAPI] = Side("fastapi_")
    rows = []
    for case in READ_CASES:
        with benchmark.report.timed(f"reads: {case.title}"):
            by_server = await measure(benchmark, case, sides)
        for name, runs in by_server.items():
            relative = spread(ratios(by_server[QLIVE]["rate"], runs["rate"]), 2)
            row = _row(f"{case.title}, {name}", runs)
            rows.append((*row, "" if name == QLIVE else relative))
    benchmark.report.table([*HEADER, "QLive : peer"], rows)


async def changes(benchmark: Benchmark) -> None:
    benchmark.report.section(
        "Changes",
        f"As the reads. In {CONNECTIONS} rooms each of {CONNECTIONS} users applies, takes the mic "
        f"and leaves it in turn; in a hot room, in {MANY_ROOMS} hot rooms, and alone users apply "
        f"and withdraw. Of the 50 requests of a mixed evening in {ROOMS} rooms 45 are reads, and "
        "one each enters, applies, withdraws, gives a gift and leaves.",
    )
    await _measure_all(benchmark, "changes", CHANGE_CASES)


async def gifts(benchmark: Benchmark) -> None:
    benchmark.report.section("Gifts", f"{CONNECTIONS} users in one room send gifts to its host.")
    await _measure_all(benchmark, "gifts", GIFT_CASES)


async def checks(benchmark: Benchmark) -> None:
    benchmark.report.section(
        "Checks of content and users",
        "Changes and gifts with every check of `moderation` on and users who have all blocked "
        "another one, relative to a server with every check off and without blocks.",
    )
    sides = {
        "with": Side(settings={"moderation": CHECKS_ON}, fixture="block_users"),
        "without": Side(settings={"moderation": CHECKS_OFF}),
    }
    cases = [*CHANGE_CASES, *GIFT_CASES]
    await _measure_ratios(benchmark, "checks", cases, sides)


async def giving(benchmark: Benchmark) -> None:
    benchmark.report.section(
        "Rules of giving",
        "Gifts with every rule of `giving` and verified users, relative to a server without rules.",
    )
    sides = {"with": Side(settings=GIVING_ON, fixture="verify_users"), "without": Side()}
    await _measure_ratios(benchmark, "giving", GIFT_CASES, sides)


async def _measure_ratios(
    benchmark: Benchmark, part: str, cases: Sequence[LoadCase], sides: Mapping[str, Side]
) -> None:
    """Report the rates of two servers, and the ratio of the first to the second."""
    rows = []
    for case in cases:
        with benchmark.report.timed(f"{part}: {case.title}"):
            runs = await measure(benchmark, case._replace(one_by_one=False), sides)
        rates = [runs[side]["rate"] for side in sides]
        by_cpu = ratios(*(runs[side]["cpu rate"] for side in sides))
        rows.append((case.title, *map(spread, rates), spread(ratios(*rates), 2), spread(by_cpu, 2)))
    header = ["responses per second", *sides, "ratio", "ratio per second of the server's CPU"]
    benchmark.report.table(header, rows)


async def _measure_all(benchmark: Benchmark, part: str, cases: Sequence[LoadCase]) -> None:
    report, found = benchmark.report, dict[str, LoadRuns]()
    for case in cases:
        with report.timed(f"{part}: {case.title}"):
            by_name = await measure(benchmark, case, {"": Side()})
        found |= {case.title + name: runs for name, runs in by_name.items()}
    report.table(HEADER, [_row(name, runs) for name, runs in found.items()])
    for name, runs in found.items():
        if alone := found.get(name + ONE_BY_ONE):
            relative = spread(ratios(runs["rate"], alone["rate"]), 2)
            report.paragraph(f"{name}: at once : one after the other {relative}.")


def _row(name: str, runs: LoadRuns) -> tuple[str, ...]:
    return (name, spread(runs["rate"]), *(spread(runs[part], 1) for part in ("p50", "p99")))
