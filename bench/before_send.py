"""How fast IM is answered before it sends a message, at a fixed rate.

    python -m bench.before_send [--rate 500] [--seconds 20] [--rooms 50]

A message is due at its time, whether or not those before it have been answered, and its latency
counts from then. Half of the messages are to rooms, 1 in 20 senders is muted.
"""

import argparse
import asyncio
import hashlib
import json
import os
import random
import shutil
import statistics
import time
from pathlib import Path
from urllib.parse import urlencode

from bench.server_process import server_process
from config.settings import Settings
from devtools.embedded_mongod import EmbeddedMongod
from rooms.members import GracePolicy, Person
from storage.database import Database
from storage.stores import Stores
from tests.support.ports import free_port

TOKEN, APP, CONNECTIONS = "bench-token", 1400000000, 64
FOLDER = Path(".bench-before-send").absolute()


async def create_rooms(uri: str, name: str, number: int) -> list[str]:
    """Live rooms, each with muted users; returns their groups."""
    database = Database(uri, name)
    stores = Stores(database, Settings(), GracePolicy(1, 1, 1, 1))
    await stores.make_indexes()
    groups = []
    for n in range(number):
        host = Person(str(70_000_000 + n), "host", "", 2)
        live_id, group_id, _ = await stores.rooms.get_or_create(host)
        room = await stores.rooms.load(live_id)
        room.open(host, "e", "s", int(time.time() * 1000))
        for user in range(50):
            room.muted[str(10_000_000 + user * 20)] = 2**45
        room.touched.add("muted")
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
    sender = str(10_000_000 + random.randrange(1000))
    content = {
        "CallbackCommand": command,
        "GroupId": random.choice(groups),
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
    port: int, due: "asyncio.Queue[float]", groups: list[str], results: list[tuple[float, int]]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        at = await due.get()
        writer.write(request_of(groups, port))
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        answer = json.loads(await reader.readexactly(length))
        results.append((time.perf_counter() - at, answer["ErrorCode"]))


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, on Linux."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def run(rate: int, seconds: float, rooms: int) -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    mongod = EmbeddedMongod(FOLDER / "mongod")
    try:
        uri, port = await mongod.start(), free_port()
        groups = await create_rooms(uri, "before_send", rooms)
        settings = {
            "QLIVE_IM__CALLBACK_TOKEN": TOKEN,
            "QLIVE_IM__SDK_APP_ID": str(APP),
            "QLIVE_IM__USER_MESSAGES": "0",
        }
        async with server_process(uri, "before_send", FOLDER, port, settings) as process:
            due: asyncio.Queue[float] = asyncio.Queue()
            results: list[tuple[float, int]] = []
            senders = [
                asyncio.create_task(send_messages(port, due, groups, results))
                for _ in range(CONNECTIONS)
            ]
            started, before = time.perf_counter(), cpu_seconds(process.pid)
            for n in range(int(rate * seconds)):
                at = started + n / rate
                await asyncio.sleep(max(0.0, at - time.perf_counter()))
                due.put_nowait(at)
            await asyncio.sleep(2)
            used = cpu_seconds(process.pid) - before
            for sender in senders:
                sender.cancel()
        times = sorted(1000 * latency for latency, _ in results[rate:])  # the first second warms up
        refused = sum(code != 0 for _, code in results)
        p99, cpu = times[int(0.99 * len(times))], 1000 * used / len(results)
        print(f"{len(results)} of {int(rate * seconds)} answered at {rate}/s, {refused} refused")
        print(f"median {statistics.median(times):.1f} ms, p99 {p99:.1f}, longest {times[-1]:.1f}")
        print(f"{cpu:.2f} ms of the server's CPU each")
    finally:
        await mongod.stop()
        shutil.rmtree(FOLDER)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rooms", type=int, default=50)
    asyncio.run(run(**vars(parser.parse_args())))
