"""What gifts into one hot room cost: joined, one by one, and the bare transactions beside them."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

from pymongo import UpdateOne

from bench.report import Report, ratios, spread
from handlers.giving import MOST, Asked, Giving
from money.gift import Present
from realtime.bus import LocalBus
from realtime.hub import Hub
from rooms.keeper import Keeper
from rooms.locks import Locks
from storage.counters import Counters
from storage.database import Database, Session
from storage.errands import Errands
from storage.members import Members
from storage.ranks import Ranks
from storage.rooms import Rooms
from storage.trays import Trays
from storage.users import Users

RUNS = 5
SENDERS = 64
GIFTS = 3_200  # per run
ONE_BY_ONE = 320
ROSE = {"id": 1, "name": "rose", "image": "/static/gifts/rose.svg", "effect": ""}


class Room:
    """A live room with 64 people who give to their host, each the next gift when the last is in."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.members = Members(database)
        self.rooms = Rooms(
            database, self.members, Counters(database), Errands(database), drops_streams=False
        )
        self.users = Users(database, self.members)
        self.locks = Locks(60)
        self.keeper = Keeper(self.rooms, Hub(self.rooms, LocalBus()), self.locks)
        self.host = ""
        self.senders: list[str] = []
        self._n = 0

    def giving(self, most: int) -> Giving:
        trays = Trays(self.database, Ranks(self.database))
        return Giving(trays, self.members, self.keeper, self.locks.hold, most)

    async def open(self) -> None:
        await self.members.make_indexes()
        host, _ = await self.users.create("app", "host")
        self.host = host.user_id
        live_id, _, _ = await self.rooms.of_host(host.person())
        await self.keeper.change(
            live_id, lambda room: room.open(host.person(), "e", "s", 1), host.user_id
        )
        for n in range(SENDERS):
            user, _ = await self.users.create("app", f"{n}", gold=10**9, gender=1)
            await self.keeper.enter(live_id, user.person())
            self.senders.append(user.user_id)

    async def give(self, giving: Giving, sender: str) -> None:
        self._n += 1
        present = Present(sender, self.host, 1, 5, 1, Decimal("0.5"), f"{self._n}")
        answer = await giving.give(Asked(present, ROSE))
        assert answer["status"] == "success"


async def run(report: Report, uri: str) -> None:
    database = Database(uri, "bench_gifts")
    try:
        room = Room(database)
        await room.open()
        joined, single = room.giving(MOST), room.giving(1)
        bare = await _bare(database)
        cases: dict[str, tuple[Callable[[str], Awaitable[None]], int]] = {
            "joined": (lambda who: room.give(joined, who), GIFTS),
            "one by one": (lambda who: room.give(single, who), ONE_BY_ONE),
        }
        figures: dict[str, list[tuple[float, float]]] = {name: [] for name in (*cases, "bare")}
        for number in range(RUNS + 1):
            for name, (give, count) in cases.items():
                figure = await _rate(room.senders, give, count)
                if number:
                    figures[name].append(figure)
            figures["bare"] += [(await bare(GIFTS), 0.0)] if number else []
        _report(report, figures)
    finally:
        await database.close()


async def _rate(
    senders: list[str], give: Callable[[str], Awaitable[None]], count: int
) -> tuple[float, float]:
    """(gifts per second, p99 in ms), every sender with one gift under way."""
    took: list[float] = []

    async def sender(who: str) -> None:
        for _ in range(count // len(senders)):
            began = time.perf_counter()
            await give(who)
            took.append(time.perf_counter() - began)

    started = time.perf_counter()
    await asyncio.gather(*map(sender, senders))
    rate = len(took) / (time.perf_counter() - started)
    return rate, 1_000 * statistics.quantiles(took, n=100)[98]


async def _bare(database: Database) -> Callable[[int], Awaitable[float]]:
    """The same writes with nothing decided, read or told: the limit of the grouped transaction."""
    names = ("entries", "purses", "room", "ranks")
    entries, purses, room, ranks = (database.collection(f"bare_{name}") for name in names)
    await room.insert_one({"_id": 1, "version": 0})
    await purses.insert_many([{"_id": n, "gold": 0} for n in range(SENDERS + 1)])
    await ranks.insert_many([{"_id": n, "gold": 0} for n in range(2 * SENDERS + 2)])
    event: dict[str, Any] = {"text": "x" * 300}
    count = 0

    async def write(session: Session) -> None:
        nonlocal count
        first, count = count, count + MOST
        numbers = range(first, count)
        log = {f"log.{n % 256}": event for n in numbers}
        await room.update_one(
            {"_id": 1, "version": first}, {"$set": {"version": count, **log}}, session=session
        )
        await entries.insert_many([{"_id": n, "text": "x" * 400} for n in numbers], session=session)
        people = [n % SENDERS for n in numbers] + [SENDERS]
        more = {"$inc": {"gold": 1}}
        await purses.bulk_write([UpdateOne({"_id": n}, more) for n in people], session=session)
        both = [*people, *(SENDERS + 1 + n for n in people)]
        await ranks.bulk_write([UpdateOne({"_id": n}, more) for n in both], session=session)

    async def run(gifts: int) -> float:
        started = time.perf_counter()
        for _ in range(gifts // MOST):
            await database.transaction(write)
        return gifts / (time.perf_counter() - started)

    return run


def _report(report: Report, figures: dict[str, list[tuple[float, float]]]) -> None:
    report.section(
        "Gifts into one hot room",
        f"{SENDERS} people in one room give to their host, each the next gift when the last one is "
        f"acknowledged by the majority. {RUNS} runs of {GIFTS:,} gifts (one by one: {ONE_BY_ONE}), "
        "after one that warms, without HTTP: purses and keys read, decided, written with entries, "
        "purses, rankings and the room's event, told to the hub. The bare transactions are the "
        "same writes, nothing read, decided or told. `bench/gifts.py`.",
    )
    rates = {name: [rate for rate, _ in rows] for name, rows in figures.items()}
    waits = {name: spread([p99 for _, p99 in rows], 1) for name, rows in figures.items()}
    rows = [
        (name, spread(found), waits[name] if name != "bare" else "")
        for name, found in rates.items()
    ]
    report.table(["", "gifts per second", "p99 [ms]"], rows)
    beside = [spread(ratios(rates["joined"], rates[name]), 2) for name in ("one by one", "bare")]
    report.words(f"joined : one by one {beside[0]}; joined : bare {beside[1]}.")
