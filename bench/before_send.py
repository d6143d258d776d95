"""How fast IM is answered before it sends a message, at a fixed rate.

A message is due at its time, whether or not those before it have been answered, and its latency
counts from then. Each of 1,000 users writes in the room that they have entered; 1 in 20 is muted.
"""

import asyncio
import hashlib
import json
import random
import statistics
import time
from pathlib import Path
from urllib.parse import urlencode

from bench.peers import Peers
from bench.report import BenchmarkReport
from bench.scale import Scale
from bench.server_process import cpu_seconds, server_process
from config.settings import Settings
from core.clock import now_ms
from rooms.members import GracePolicy, Person
from storage.database import Database
from storage.stores import Stores
from tests.support.ports import free_port

TOKEN, APP, CONNECTIONS = "bench-token", 1400000000, 64
RATE, ROOMS, MEMBERS = 500, 50, 20
ANSWER_SECONDS = 10.0
MUTED = 10101
"""The code that IM passes on to a muted sender."""
SETTINGS = {
    "QLIVE_IM__CALLBACK_TOKEN": TOKEN,
    "QLIVE_IM__SDK_APP_ID": str(APP),
}
Results = list[tuple[float, int]]
"""Seconds until each answer, and its ErrorCode."""


async def create_rooms(uri: str, name: str, number: int) -> list[str]:
    """Live rooms with members, of whom the first is muted; returns their groups."""
    database = Database(uri, name)
    stores = Stores(database, Settings(), GracePolicy(1, 1, 1, 1))
    await stores.make_indexes()
    groups = []
    for n in range(number):
        host = Person(str(70_000_000 + n), "host", "", 2)
        live_id, group_id, _ = await stores.rooms.get_or_create(host)
        room = await stores.rooms.load(live_id)
        room.open(host, "e", "s", now_ms())
        members = [str(10_000_000 + n * MEMBERS + user) for user in range(MEMBERS)]
        for user_id in members:
            room.enter(Person(user_id), now_ms())
        room.muted = {members[0]: 2**45}
        await stores.rooms.save(room, [])
        groups.append(group_id)
    await database.close()
    return groups


def request_of(groups: list[str], port: int) -> bytes:
    command = "Group.CallbackBeforeSendMsg"
    timestamp = str(int(time.time()))
    query = {
        "SdkAppid": APP,
        "CallbackCommand": command,
        "contenttype": "json",
        "ClientIP": "203.0.113.7",
        "OptPlatform": "IOS",
        "Sign": hashlib.sha256(f"{TOKEN}{timestamp}".encode()).hexdigest(),
        "RequestTime": timestamp,
    }
    number = random.randrange(ROOMS * MEMBERS)
    sender = str(10_000_000 + number)
    content = {
        "CallbackCommand": command,
        "GroupId": groups[number // MEMBERS],
        "Type": "AVChatRoom",
        "From_Account": sender,
        "Operator_Account": sender,
        "Random": random.getrandbits(32),
        "MsgId": "144115",
        "OnlineOnlyFlag": 0,
        "MsgBody": [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "你好，红娘 " * 4}}],
        "CloudCustomData": "",
        "EventTime": int(time.time() * 1000),
    }
    body = json.dumps(content).encode()
    head = (
        f"POST /wx/api/qlive/im/callback/?{urlencode(query)} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
    )
    return (
        f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


async def send_messages(
    port: int, due: "asyncio.Queue[float]", groups: list[str], results: Results
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        at = await due.get()
        writer.write(request_of(groups, port))
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        answer = json.loads(await reader.readexactly(length))
        results.append((time.perf_counter() - at, answer["ErrorCode"]))


async def _send_at_rate(port: int, groups: list[str], seconds: float) -> Results:
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


async def run(report: BenchmarkReport, _peers: Peers, uri: str, folder: Path, scale: Scale) -> None:
    report.section(
        "Messages of users",
        f"IM asks before it sends each of {RATE} messages a second of {ROOMS * MEMBERS} users to "
        f"{ROOMS} rooms; 1 of {MEMBERS} senders is muted. "
        f"{scale.runs} runs of {scale.message_seconds:g} s.",
    )
    port, groups = free_port(), await create_rooms(uri, "bench_before_send", ROOMS)
    figures: list[tuple[float, float, float]] = []
    async with server_process(uri, "bench_before_send", folder, port, SETTINGS) as process:
        await _send_at_rate(port, groups, scale.warm_up_seconds)
        for _ in range(scale.runs):
            before = cpu_seconds(process.pid)
            results = await _send_at_rate(port, groups, scale.message_seconds)
            assert {code for _, code in results} == {0, MUTED}
            cpu = 1000 * (cpu_seconds(process.pid) - before) / len(results)
            times = sorted(1000 * latency for latency, _ in results)
            figures.append((statistics.median(times), times[int(0.99 * len(times))], cpu))
    p50, p99, cpu_each = zip(*figures, strict=True)
    report.spread_table(
        [("p50 [ms]", p50, 1), ("p99 [ms]", p99, 1), ("CPU of the server each [ms]", cpu_each, 2)]
    )
