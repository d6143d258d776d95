"""Cases of requests, and how the servers are measured with each."""

import json
import secrets
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench.benchmark import Benchmark
from bench.calls.requests import (
    READS,
    change_requests,
    evening_requests,
    gift_requests,
    hot_room_requests,
    read_requests,
    write_request_file,
)
from bench.calls.servers import Side, running_servers
from bench.checkout import Guest
from bench.processes import compile_c, cpu_seconds, read_line, running_process

HERE = Path(__file__).parent
CONNECTIONS, ROOMS, MANY_ROOMS = 64, 8, 16
ONE_BY_ONE = ", one after the other"

LoadRuns = dict[str, list[float]]
"""By name (rate, per second; cpu rate, per second of the server's CPU; p50; p99): its figure in
each run."""
Requests = Callable[[Sequence[Guest], int], list[bytes]]
"""The requests of the guests in a run."""


class LoadCase(NamedTuple):
    """Guests, one per connection, and what they send."""

    title: str
    rooms: int
    requests: Requests
    connections: int = CONNECTIONS
    one_by_one: bool = False
    """Whether it is also measured with a single connection."""


READ_CASES = [LoadCase(name, ROOMS, partial(read_requests, path)) for name, path in READS.items()]
CHANGE_CASES = [
    LoadCase(f"{CONNECTIONS} rooms", CONNECTIONS, change_requests),
    LoadCase(f"{MANY_ROOMS} hot rooms", MANY_ROOMS, hot_room_requests),
    LoadCase("one hot room", 1, hot_room_requests, one_by_one=True),
    LoadCase("a lone change", 1, hot_room_requests, connections=1),
    LoadCase("a mixed evening", ROOMS, evening_requests),
]
GIFT_CASES = [LoadCase("gifts into one room", 1, gift_requests, one_by_one=True)]


async def measure(
    benchmark: Benchmark, case: LoadCase, sides: Mapping[str, Side]
) -> dict[str, LoadRuns]:
    """Measure the sides in turn; each has its own process and database."""
    uri, folder, scale = benchmark.uri, benchmark.folder, benchmark.scale
    program, file = compile_load(folder), folder / "requests"
    databases, guests = {}, {}
    for name, side in sides.items():
        databases[name] = f"bench_{secrets.token_hex(8)}"  # cases may have one title
        create = side.checkout.create_guests
        guests[name] = await create(uri, databases[name], case.rooms, case.connections)
        if side.fixture:
            await side.checkout.call_fixture(side.fixture, uri, databases[name])
    loads = [(name, name, case.connections) for name in sides]
    loads += [(name + ONE_BY_ONE, name, 1) for name in sides if case.one_by_one]
    runs: dict[str, LoadRuns] = {name: defaultdict(list) for name, _, _ in loads}
    async with running_servers(sides, uri, databases, folder) as servers:
        for number in range(scale.runs + 1):  # run 0 is the warm-up
            seconds = scale.seconds if number else scale.warm_up_seconds
            in_turn = loads if number % 2 else loads[::-1]
            for turn, (name, side_name, connections) in enumerate(in_turn):
                server = servers[side_name]
                write_request_file(file, case.requests(guests[side_name], 10 * number + turn))
                before = cpu_seconds(server.process.pid)
                with server.resumed():
                    result = await run_load(program, server.port, file, seconds, connections)
                if number:
                    used = cpu_seconds(server.process.pid) - before
                    runs[name]["rate"].append(result["responses"] / result["seconds"])
                    runs[name]["cpu rate"].append(result["responses"] / used)
                    for percentile in ("p50", "p99"):
                        runs[name][percentile].append(result[percentile])
    return runs


def compile_load(folder: Path) -> Path:
    return compile_c(HERE / "load.c", folder / "load")


async def run_load(
    program: Path, port: int, requests: Path, seconds: float, connections: int, pause_ms: int = 0
) -> dict[str, float]:
    """Run load.c once; returns its figures, asserts that no response is an error."""
    command = [str(program), str(port), str(connections), str(seconds), str(requests)]
    async with running_process([*command, str(pause_ms)]) as process:
        result: dict[str, float] = json.loads(await read_line(process))
        await process.wait()
    assert not result["errors"], requests
    return result
