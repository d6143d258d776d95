"""Memory, duration and event loop pauses of check-ledger on a large ledger.

`python -m bench.large_ledger [USERS]` (1,000,000 by default, which takes some minutes and 2 GB of
disk). It is not part of `make bench`.
"""

import asyncio
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvloop
from pymongo import InsertOne, MongoClient, WriteConcern

from bench.server_process import ROOT
from config.settings import Settings
from devtools.development_secrets import DevSecrets, fill_in_secrets
from devtools.embedded_mongod import EmbeddedMongod
from ledger.journal import JournalEntry, Posting, postings_for, user_account
from ledger.ranking import day_of, day_scope, live_scope
from rooms.members import Person
from rooms.room import Seat
from runtime import gc_tuning
from runtime.process import ServerProcess
from services.ledger_audit import JOB_NAME
from storage.ledger import entry_document
from storage.rooms import LOG_SIZE
from storage.users import User, _document_of
from telemetry.logging import configure_logging

DATABASE = "bench_large_ledger"
FIRST_USER = 10_000_000
GRANT, PRICE, EARNED = 1_000, 10, 5
DAYS = 30
ROOM_SIZE = 2_000
"""Users per room. Each gives a gift to the next one, so that it gives and receives one."""
RECENT_ROOMS = 25
"""Rooms whose gifts are new for the incremental check, at most a twentieth of all."""
BATCH = 5_000
SAMPLE_SECONDS = 0.001


def main(users: int) -> None:
    configure_logging("error", as_json=False)
    folder = Path(tempfile.mkdtemp(prefix="qlive-large-ledger-"))
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_measure(users, folder))
    finally:
        shutil.rmtree(folder)


async def _measure(users: int, folder: Path) -> None:
    mongod = EmbeddedMongod(folder / "mongo")
    uri = await mongod.start()
    try:
        started = time.monotonic()
        await asyncio.to_thread(fill, uri, users)
        print(f"{users:,} users written in {time.monotonic() - started:.0f} s", flush=True)
        print(_sizes(uri), flush=True)
        settings, dev = fill_in_secrets(_settings(uri), folder / "dev-secrets.json")
        await _in_server(settings, dev)
        await _command(uri, folder)
    finally:
        await mongod.stop()


def _settings(uri: str) -> Settings:
    return Settings.model_validate(
        {"server": {"port": 0}, "mongodb": {"uri": uri, "database": DATABASE}}
    )


# ---- the data


def fill(uri: str, users: int) -> None:
    """Write consistent users, entries, rankings and room logs, then the indexes."""
    now = datetime.now(UTC)
    with MongoClient[dict[str, Any]](uri) as client:
        database = client.get_database(DATABASE, write_concern=WriteConcern(w=1))
        for name, rows in (
            ("users", (_document_of(_user(n, now)) for n in range(users))),
            ("ledger", _entries(users, now)),
            ("ranks", _ranks(users, now)),
            ("rooms", _rooms(users, now)),
        ):
            _insert(database[name], rows)


def _insert(collection: Any, rows: Iterator[dict[str, Any]]) -> None:
    batch = []
    for row in rows:
        batch.append(InsertOne(row))
        if len(batch) == BATCH:
            collection.bulk_write(batch, ordered=False)
            batch.clear()
    if batch:
        collection.bulk_write(batch, ordered=False)


def _id(n: int) -> str:
    return str(FIRST_USER + n)


def _user(n: int, now: datetime) -> User:
    gold = GRANT - PRICE
    return User(_id(n), "wx", f"openid-{n}", now, f"user {n}", "", 1 + n % 2, gold=gold, income=5)


def _receiver(n: int, users: int) -> int:
    """The next user of the same room."""
    first = n - n % ROOM_SIZE
    size = min(ROOM_SIZE, users - first)
    return first + (n - first + 1) % size


def _given_at(n: int, users: int, now: datetime) -> datetime:
    """One time for each room: now, or on one of the days before yesterday."""
    room = n // ROOM_SIZE
    if room < min(RECENT_ROOMS, users // ROOM_SIZE // 20):
        return now
    return now - timedelta(days=2 + room % DAYS)


def _entries(users: int, now: datetime) -> Iterator[dict[str, Any]]:
    for n in range(users):
        grant = JournalEntry(f"grant:{n}", "grant", "ops", postings_for(_id(n), GRANT), {})
        yield entry_document(grant, None, now - timedelta(days=DAYS + 3))
        sender, receiver = user_account(_id(n)), user_account(_id(_receiver(n, users)))
        lines = (
            *(Posting(sender, "gold", -PRICE), Posting("house", "gold", PRICE)),
            *(Posting(receiver, "income", EARNED), Posting("house", "income", -EARNED)),
        )
        content = {"to": _id(_receiver(n, users)), "gift_id": 1, "num": 1}
        answer = {"gold": GRANT - PRICE, "income": EARNED}
        gift = JournalEntry(f"gift:{_id(n)}:{n}", "gift", _id(n), lines, content, answer)
        event = {"live_id": 1 + n // ROOM_SIZE, "epoch": "e", "seq": 1 + n % ROOM_SIZE}
        yield entry_document(gift, None, _given_at(n, users, now)) | event


def _ranks(users: int, now: datetime) -> Iterator[dict[str, Any]]:
    for n in range(users):
        day = day_scope(day_of(_given_at(n, users, now)))
        for scope in (day, live_scope(1 + n // ROOM_SIZE, "e")):
            row = {"scope": scope, "user_id": _id(n), "gold": PRICE, "income": EARNED}
            yield {"_id": f"{scope}:{_id(n)}", **row}


def _rooms(users: int, now: datetime) -> Iterator[dict[str, Any]]:
    for first in range(0, users, ROOM_SIZE):
        live_id, size = 1 + first // ROOM_SIZE, min(ROOM_SIZE, users - first)
        host = Person(f"host {live_id}", "host", "https://faces.example/host")
        face = Person(_id(first), "user", "https://faces.example/user", 1).face()
        gift = {"id": 1, "name": "rose", "image": "https://gifts.example/rose", "effect": ""}
        data = {"from": face, "to": face, "gift": gift, "num": 1, "gold": PRICE, "request_id": ""}
        ts = int(now.timestamp() * 1000)
        numbers = range(max(0, size - LOG_SIZE) + 1, size + 1)
        owner = {"person": {n: getattr(host, n) for n in Person.__slots__}, "stream": ""}
        yield {
            "_id": live_id,
            "host_id": host.user_id,
            "group_id": f"qlive{live_id}",
            "group_ready": False,
            "cover": "",
            "epoch": "e",
            "version": size,
            "status": "ended",
            "started_at": ts,
            "owner": owner | {"away": Seat(host, "").away},
            "male": None,
            "female": None,
            "applications": {},
            "blocked": {},
            "log": {
                str(seq % LOG_SIZE): {"seq": seq, "ts": ts, "type": "gift", "data": data}
                for seq in numbers
            },
        }


def _sizes(uri: str) -> str:
    lines = []
    with MongoClient[dict[str, Any]](uri) as client:
        for name in ("users", "ledger", "ranks", "rooms"):
            found = client[DATABASE].command("collStats", name)
            count, size, stored = found["count"], found["avgObjSize"], found["storageSize"]
            lines.append(
                f"  {name}: {count:,} of {size:,.0f} bytes, {stored / 1e6:,.0f} MB on disk"
            )
    return "\n".join(lines)


# ---- the measurements


class LoopPauses:
    """The longest pauses of the event loop: by the clock, and in processor time of its thread.

    The second is what callbacks used; the first has what other programs took on a busy machine,
    too.
    """

    def __init__(self) -> None:
        self.longest = self.busiest = 0.0
        self.samples = 0

    async def measure(self) -> None:
        while True:
            at, used = time.perf_counter(), time.thread_time()
            await asyncio.sleep(SAMPLE_SECONDS)
            self.longest = max(self.longest, time.perf_counter() - at - SAMPLE_SECONDS)
            self.busiest = max(self.busiest, time.thread_time() - used)
            self.samples += 1

    def __str__(self) -> str:
        return f"longest pause {self.longest * 1e3:.1f} ms, {self.busiest * 1e3:.1f} ms of CPU"


async def _in_server(settings: Settings, dev: DevSecrets) -> None:
    with MongoClient[dict[str, Any]](settings.mongodb.uri) as client:
        later = datetime.now(UTC) + timedelta(days=1)  # the server's own check would interfere
        client[DATABASE].turns.insert_one({"_id": JOB_NAME, "due_at": later})
    server, started = ServerProcess(settings, dev), time.monotonic()
    await server.start()
    gc_tuning.freeze_startup_objects()
    print(f"server started with all indexes in {time.monotonic() - started:.0f} s", flush=True)
    audit = server.context.services.ledger_audit
    yesterday = datetime.now(UTC) - timedelta(days=1)
    await _timed("idle server, 30 s", lambda: asyncio.sleep(30, []))
    await _timed("full check in a server", audit.check)
    await _timed("incremental check in a server", lambda: audit.check(yesterday))
    rebuild = server.context.stores.ranking_reconciler.rebuild_all

    async def rebuild_all() -> list[str]:
        return ["wrong"] * await rebuild()

    await _timed("rebuild-ranks in a server", rebuild_all)
    await server.stop()


async def _timed(name: str, work: Any) -> None:
    pauses, started, used = LoopPauses(), time.monotonic(), time.process_time()
    sampler = asyncio.create_task(pauses.measure())
    problems = await work()
    sampler.cancel()
    seconds, cpu = time.monotonic() - started, time.process_time() - used
    print(f"{name}: {seconds:.1f} s, {cpu:.1f} s of CPU, {pauses}, {len(problems)} problems")
    for problem in problems[:5]:
        print(" ", problem)
    sys.stdout.flush()


async def _command(uri: str, folder: Path) -> None:
    """`server.py check-ledger` in a process of its own: its peak memory."""
    environment = {n: v for n, v in os.environ.items() if not n.startswith("QLIVE_")} | {
        "QLIVE_MONGODB__URI": uri,
        "QLIVE_MONGODB__DATABASE": DATABASE,
        "QLIVE_MONGODB__DATA_DIR": str(folder / "mongo"),
    }
    started = time.monotonic()
    command = (sys.executable, "server.py", "check-ledger")
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment)
    status = await process.wait()
    seconds = time.monotonic() - started
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"check-ledger: exit status {status}, {seconds:.1f} s, {memory:.0f} MB at most")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
