"""How fast IM is answered before it sends a message, at a fixed rate.

A message is due at its time, whether or not those before it have been answered, and its latency
counts from then. Each of 1,000 users writes in the room that they have entered; 1 in 20 is muted.
"""

import asyncio
import random
import statistics
import time
from collections.abc import Sequence
from typing import Any

from bench.benchmark import Benchmark
from bench.calls.servers import Side, running_server
from bench.fixtures import FIRST_VIEWER, create_live_rooms, create_viewers, mute_users
from bench.processes import cpu_seconds
from config.settings import Settings
from tests.support.callbacks import CallbackSender, proposed
from tests.support.client import Reply

DATABASE, CONNECTIONS = "bench_before_send", 64
RATE, ROOMS, MEMBERS = 500, 50, 20
ANSWER_SECONDS = 10.0
MUTED = 10101
"""The code that IM passes on to a muted sender."""
SETTINGS: dict[str, Any] = {"im": {"callback_token": "bench-token", "sdk_app_id": 1400000000}}
Results = list[tuple[float, int]]
"""Seconds until each answer, and its ErrorCode."""


class RawConnection:
    """A connection to the server, which costs less than a client of aiohttp."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def request(self, method: str, path: str, *, data: bytes) -> Reply:
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        self._writer.write(head.encode() + data)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return Reply(200, text=(await self._reader.readexactly(length)).decode())


async def send_messages(
    port: int, due: "asyncio.Queue[float]", groups: Sequence[str], results: Results
) -> None:
    connection: Any = RawConnection(*await asyncio.open_connection("127.0.0.1", port))
    im = CallbackSender(connection, Settings.model_validate(SETTINGS))
    while True:
        at = await due.get()
        number = random.randrange(ROOMS * MEMBERS)
        message = proposed(str(FIRST_VIEWER + number), GroupId=groups[number // MEMBERS])
        answer = await im.im(message)
        results.append((time.perf_counter() - at, answer.json["ErrorCode"]))


async def _send_at_rate(port: int, groups: Sequence[str], seconds: float) -> Results:
    due: asyncio.Queue[float] = asyncio.Queue()
    results: Results = []
    senders = [
        asyncio.create_task(send_messages(port, due, groups, results)) for _ in range(CONNECTIONS)
    ]
    started, messages = time.perf_counter(), int(RATE * seconds)
    for n in range(messages):
        at = started + n / RATE
        await asyncio.sleep(max(0.0, at - time.perf_counter()))
        due.put_nowait(at)
    async with asyncio.timeout(ANSWER_SECONDS):
        while len(results) < messages:
            await asyncio.sleep(0.05)
    for sender in senders:
        sender.cancel()
    return results


async def run(benchmark: Benchmark) -> None:
    report, scale = benchmark.report, benchmark.scale
    report.section(
        "Messages of users",
        f"IM asks before it sends each of {RATE} messages a second of {ROOMS * MEMBERS} users to "
        f"{ROOMS} rooms; 1 of {MEMBERS} senders is muted. "
        f"{scale.runs} runs of {scale.message_seconds:g} s.",
    )
    rooms = await create_live_rooms(benchmark.uri, DATABASE, ROOMS)
    in_rooms = [room for room in rooms for _ in range(MEMBERS)]
    await create_viewers(benchmark.uri, DATABASE, in_rooms)
    muted = [str(FIRST_VIEWER + n) for n in range(0, len(in_rooms), MEMBERS)]
    await mute_users(benchmark.uri, DATABASE, muted)
    groups, side = [room.group_id for room in rooms], Side(settings=SETTINGS)
    figures: list[tuple[float, float, float]] = []
    async with running_server(side, benchmark.uri, DATABASE, benchmark.folder) as server:
        await _send_at_rate(server.port, groups, scale.warm_up_seconds)
        for _ in range(scale.runs):
            before = cpu_seconds(server.process.pid)
            results = await _send_at_rate(server.port, groups, scale.message_seconds)
            assert {code for _, code in results} == {0, MUTED}
            cpu = 1000 * (cpu_seconds(server.process.pid) - before) / len(results)
            times = sorted(1000 * latency for latency, _ in results)
            figures.append((statistics.median(times), times[int(0.99 * len(times))], cpu))
    p50, p99, cpu_each = zip(*figures, strict=True)
    report.spread_table(
        [("p50 [ms]", p50, 1), ("p99 [ms]", p99, 1), ("CPU of the server each [ms]", cpu_each, 2)]
    )
