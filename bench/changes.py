"""What a change of a room costs beside the bare operations."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from bench.report import Report, ratios
from realtime.bus import LocalBus
from realtime.hub import Hub
from rooms.keeper import Keeper
from rooms.locks import Locks
from rooms.people import Person
from storage.counters import Counters
from storage.database import Database
from storage.errands import Errands
from storage.members import Members
from storage.rooms import Rooms

RUNS = 5
ROOMS = 32  # at once: one change under way in each
CHANGES = 20  # per room and run, half of them applying, half withdrawing

Case = Callable[[], Awaitable[None]]


async def run(report: Report, uri: str) -> None:
    database = Database(uri, "bench_changes")
    try:
        ours, bare = await _cases(database)
        await ours(), await bare()  # warm
        await _compare(report, ours, bare)
    finally:
        await database.close()


async def _cases(database: Database) -> tuple[Case, Case]:
    """Applying and withdrawing through the keeper; and one find and one update by id."""
    members = Members(database)
    errands = Errands(database)
    rooms = Rooms(database, members, Counters(database), errands, drops_streams=False)
    await members.make_indexes()
    keeper = Keeper(rooms, Hub(rooms, LocalBus()), Locks())
    plain = database.collection("plain")
    lives = []
    for n in range(ROOMS):
        host, man = Person(f"host{n}", gender=2), Person(f"man{n}", gender=1)
        live_id, _, _ = await rooms.of_host(host)
        await keeper.change(live_id, lambda room, h=host: room.open(h, "e", "s", 1), host.user_id)
        await keeper.enter(live_id, man)
        await plain.insert_one({"_id": live_id, "version": 0})
        lives.append((live_id, man))

    async def through_the_keeper(live_id: int, man: Person) -> None:
        for _ in range(CHANGES // 2):
            await keeper.change(live_id, lambda room: room.apply(man, 1 << 50, 600), man.user_id)
            await keeper.change(live_id, lambda room: room.refuse(man.user_id), man.user_id)

    async def by_hand(live_id: int, _man: Person) -> None:
        for _ in range(CHANGES):
            row = await plain.find_one({"_id": live_id})
            assert row
            await plain.update_one(
                {"_id": live_id, "version": row["version"]},
                {"$inc": {"version": 1}, "$set": {"log": {"type": "micro_apply", "data": {}}}},
            )

    async def ours() -> None:
        await asyncio.gather(*(through_the_keeper(*life) for life in lives))

    async def bare() -> None:
        await asyncio.gather(*(by_hand(*life) for life in lives))

    return ours, bare


async def _compare(report: Report, ours: Case, bare: Case) -> None:
    rates: list[tuple[float, float]] = [(await _rate(ours), await _rate(bare)) for _ in range(RUNS)]
    keeper, by_hand = [a for a, _ in rates], [b for _, b in rates]
    report.section(
        "A change of a room",
        f"Applying for the mic and withdrawing, in {ROOMS} rooms at once, without HTTP; {RUNS} "
        f"runs of {ROOMS * CHANGES} changes. `bench/changes.py`.",
    )
    rows = [
        ("keeper (read, rule, transaction, told) [1/s]", keeper, 0),
        ("one find and one guarded update by hand [1/s]", by_hand, 0),
        ("keeper : by hand", ratios(keeper, by_hand), 2),
    ]
    report.show(rows)


async def _rate(case: Case) -> float:
    started = time.perf_counter()
    await case()
    return ROOMS * CHANGES / (time.perf_counter() - started)
