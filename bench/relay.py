"""Whether a request waits for Tencent IM: apply_micro while IM is well, slow, and silent."""

import asyncio
import statistics
import time
from pathlib import Path
from typing import Any

import aiohttp

import logs
from bench.phones import call, log_in, open_room
from bench.report import Report, ratios
from devsecrets import fill
from server import Server
from settings import Settings

RUNS = 5
PEOPLE = 16  # at once, each in the same room
CALLS = 30  # per person and run, half of them applying, half withdrawing
IM = {"well": {}, "answers in 10 s": {"seconds": 10}, "answers 503": {"status": 503}}


async def run(report: Report, uri: str, folder: Path) -> None:
    logs.set_up("error", as_json=False)
    given: Any = {"server": {"port": 0, "drain_seconds": 1}, "mongodb": {"uri": uri}}
    given["mongodb"]["database"] = "bench_relay"
    server = Server(*fill(Settings.model_validate(given), folder / "dev-secrets.json"))
    await server.start()
    try:
        async with aiohttp.ClientSession(server.address) as http:
            await _measure(report, http, server.settings.ops.token)
            await http.post("/sim/outage", json={"service": "im"})
    finally:
        await server.stop()


async def _measure(report: Report, http: aiohttp.ClientSession, ops_token: str) -> None:
    _, live_id = await open_room(http, ops_token)
    people = [await log_in(http, f"m{n}", 1) for n in range(PEOPLE)]
    for person in people:
        await call(http, person, "GET", f"get_playurl/?live_id={live_id}")
    found: dict[str, list[float]] = {name: [] for name in IM}
    for turn in range(RUNS + 1):
        for name, trouble in IM.items():
            await http.post("/sim/outage", json={"service": "im", **trouble})
            p99 = await _p99(http, people, live_id)
            if turn:  # the first one warms
                found[name].append(p99)
    report.section(
        "Whether a request waits for Tencent IM",
        f"p99 of apply_micro in ms while IM is well, slow and silent: {RUNS} runs of {PEOPLE} "
        f"people with {CALLS // 2} each, in one room. `bench/relay.py`.",
    )
    report.show([(f"IM {name}", values, 1) for name, values in found.items()], "p99 [ms]")
    beside = [(f"IM {name} : well", ratios(found[name], found["well"]), 2) for name in list(IM)[1:]]
    report.show(beside)


async def _p99(http: aiohttp.ClientSession, people: list[Any], live_id: int) -> float:
    took: list[float] = []

    async def wander(person: Any) -> None:
        for _ in range(CALLS // 2):
            started = time.perf_counter()
            await call(http, person, "POST", "qlive_room/apply_micro/", live_id=live_id)
            took.append((time.perf_counter() - started) * 1000)
            await call(http, person, "POST", "qlive_room/refuse_micro/", live_id=live_id)

    await asyncio.gather(*(wander(person) for person in people))
    return statistics.quantiles(took, n=100)[98]
