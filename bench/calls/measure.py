"""Cases of requests, and how the servers are measured with each."""

import asyncio
import functools
import json
import secrets
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.calls.requests import (
    READS,
    change_requests,
    evening_requests,
    gift_requests,
    hot_room_requests,
    read_request,
    write_request_file,
)
from bench.calls.servers import Side, running_servers
from bench.checkout import Guest
from bench.fanout.crowd import compile_c
from bench.scale import Scale

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


def _read_requests(path: str, guests: Sequence[Guest], _run: int) -> list[bytes]:
    return [read_request(path, guest) for guest in guests]


READ_CASES = [
    LoadCase(name, ROOMS, functools.partial(_read_requests, path)) for name, path in READS.items()
]
CHANGE_CASES = [
    LoadCase(f"{CONNECTIONS} rooms", CONNECTIONS, change_requests),
    LoadCase(f"{MANY_ROOMS} hot rooms", MANY_ROOMS, hot_room_requests),
    LoadCase("one hot room", 1, hot_room_requests, one_by_one=True),
    LoadCase("a lone change", 1, hot_room_requests, connections=1),
    LoadCase("a mixed evening", ROOMS, evening_requests),
]
GIFT_CASES = [LoadCase("gifts into one room", 1, gift_requests, one_by_one=True)]


class LoadMeasurement(NamedTuple):
    """Common part of the measurements of all cases."""

    program: Path
    uri: str
    folder: Path
    scale: Scale

    async def measure(self, case: LoadCase, sides: Mapping[str, Side]) -> dict[str, LoadRuns]:
        """Measure the sides in turn; each has its own process and database."""
        databases, guests = {}, {}
        for name, side in sides.items():
            databases[name] = f"bench_{secrets.token_hex(8)}"  # cases may have one title
            create = side.checkout.create_guests
            guests[name] = await create(self.uri, databases[name], case.rooms, case.connections)
            if side.fixture:
                await side.checkout.call_fixture(side.fixture, self.uri, databases[name])
        loads = [(name, name, case.connections) for name in sides]
        loads += [(name + ONE_BY_ONE, name, 1) for name in sides if case.one_by_one]
        runs: dict[str, LoadRuns] = {name: defaultdict(list) for name, _, _ in loads}
        async with running_servers(sides, self.uri, databases, self.folder) as servers:
            for number in range(self.scale.runs + 1):  # run 0 is the warm-up
                seconds = self.scale.seconds if number else self.scale.warm_up_seconds
                in_turn = loads if number % 2 else loads[::-1]
                for turn, (name, server, connections) in enumerate(in_turn):
                    file = self.folder / "requests"
                    write_request_file(file, case.requests(guests[server], 10 * number + turn))
                    before = servers.cpu_seconds(server)
                    with servers.running(server) as port:
                        result = await run_load(self.program, port, file, seconds, connections)
                    if number:
                        used = servers.cpu_seconds(server) - before
                        _add_run(runs[name], result, used)
        return runs


def compile_load(folder: Path) -> Path:
    """Raises CompilerMissing."""
    return compile_c(HERE / "load.c", folder / "load")


async def run_load(
    program: Path, port: int, requests: Path, seconds: float, connections: int, pause_ms: int = 0
) -> dict[str, float]:
    """Run load.c once; returns its figures, asserts that no response is an error."""
    command = [str(program), str(port), str(connections), str(seconds), str(requests)]
    command.append(str(pause_ms))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe)
    result: dict[str, float] = json.loads((await process.communicate())[0])
    assert not result["errors"], requests
    return result


def _add_run(runs: LoadRuns, result: Mapping[str, float], cpu_seconds: float) -> None:
    runs["rate"].append(result["responses"] / result["seconds"])
    for percentile in ("p50", "p99"):
        runs[percentile].append(result[percentile])
    runs["cpu rate"].append(result["responses"] / cpu_seconds)
