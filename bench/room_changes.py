"""Throughput of room changes, compared with the bare MongoDB operations."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from bench.fixtures import no_room
from bench.report import BenchmarkReport, ratios
from realtime.bus import LocalBus
from realtime.hub import Hub
from rooms.keeper import Keeper
from rooms.members import Person
from storage.database import Database
from storage.members import MemberStore
from storage.outbox import OutboxStore
from storage.rooms import RoomStore

RUNS = 5
ROOMS = 32  # concurrent rooms, one change in flight in each
CHANGES = 20  # per room and run: half apply, half withdraw

Workload = Callable[[], Awaitable[None]]


async def run(report: BenchmarkReport, uri: str) -> None:
    database = Database(uri, "bench_changes")
    try:
        through_keeper, bare = await _workloads(database)
        for workload in (through_keeper, bare):
            await workload()  # warm-up
        await _compare(report, through_keeper, bare)
    finally:
        await database.close()


async def _workloads(database: Database) -> tuple[Workload, Workload]:
    """Changes through the keeper, and one find and one guarded update each."""
    members = MemberStore(database)
    outbox = OutboxStore(database)
    rooms = RoomStore(database, members, outbox, drops_streams=False)
    await members.make_indexes()
    keeper = Keeper(rooms, Hub(rooms, no_room, LocalBus()))
    plain = database.collection("plain")
    guests = []
    for n in range(ROOMS):
        host, user = Person(f"host{n}", gender=2), Person(f"man{n}", gender=1)
        live_id, _, _ = await rooms.get_or_create(host)
        await keeper.change(live_id, lambda room, h=host: room.open(h, "e", "s", 1), host.user_id)
        await keeper.enter(live_id, user)
        await plain.insert_one({"_id": live_id, "version": 0})
        guests.append((live_id, user))

    async def change_with_keeper(live_id: int, user: Person) -> None:
        for _ in range(CHANGES // 2):
            await keeper.change(live_id, lambda room: room.apply(user, 1 << 50, 600), user.user_id)
            await keeper.change(live_id, lambda room: room.refuse(user.user_id), user.user_id)

    async def find_and_update(live_id: int, _user: Person) -> None:
        for _ in range(CHANGES):
            row = await plain.find_one({"_id": live_id})
            assert row
            await plain.update_one(
                {"_id": live_id, "version": row["version"]},
                {"$inc": {"version": 1}, "$set": {"log": {"type": "micro_apply", "data": {}}}},
            )

    async def through_keeper() -> None:
        await asyncio.gather(*(change_with_keeper(*guest) for guest in guests))

    async def bare() -> None:
        await asyncio.gather(*(find_and_update(*guest) for guest in guests))

    return through_keeper, bare


async def _compare(report: BenchmarkReport, through_keeper: Workload, bare: Workload) -> None:
    rates: list[tuple[float, float]] = [
        (await _rate(through_keeper), await _rate(bare)) for _ in range(RUNS)
    ]
    keeper_rates, bare_rates = [a for a, _ in rates], [b for _, b in rates]
    report.section(
        "Room changes",
        f"Users apply for the mic and withdraw, in {ROOMS} rooms concurrently, without HTTP; "
        f"{RUNS} runs of {ROOMS * CHANGES} changes. `bench/room_changes.py`.",
    )
    rows = [
        ("keeper (read, rule, transaction, publish) [1/s]", keeper_rates, 0),
        ("one find and one guarded update [1/s]", bare_rates, 0),
        ("keeper : find and update", ratios(keeper_rates, bare_rates), 2),
    ]
    report.spread_table(rows)


async def _rate(workload: Workload) -> float:
    started = time.perf_counter()
    await workload()
    return ROOMS * CHANGES / (time.perf_counter() - started)
