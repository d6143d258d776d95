"""Throughput of gifts into one room: batched, unbatched, and bare transactions."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

from pymongo import UpdateOne

from bench.fixtures import no_room
from bench.report import BenchmarkReport, ratios, spread
from core.locks import NamedLocks
from ledger.gifts import GiftTransfer
from realtime.bus import LocalBus
from realtime.hub import Hub
from rooms.keeper import MAX_BATCH, Keeper
from services.catalogue import CatalogueService
from services.gifts import GiftRequest, GiftService
from storage.catalogue import GiftStore
from storage.configs import ConfigStore
from storage.database import Database, Session
from storage.gift_batches import GiftBatchStore
from storage.members import MemberStore
from storage.outbox import OutboxStore
from storage.rankings import RankingStore
from storage.rooms import RoomStore
from storage.users import UserStore

RUNS = 5
SENDERS = 64
GIFTS = 3_200  # per run
UNBATCHED_GIFTS = 320
ROSE = {"id": 1, "name": "rose", "image": "/static/gifts/rose.svg", "effect": ""}
BATCHED, UNBATCHED, BARE = "batched", "unbatched", "bare transactions"


class GiftRoom:
    """A live room with 64 users who send gifts to its host."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.members = MemberStore(database)
        self.rooms = RoomStore(
            database,
            self.members,
            OutboxStore(database),
            drops_streams=False,
        )
        self.users = UserStore(database, self.members)
        self.locks = NamedLocks(60)
        self.hub = Hub(self.rooms, no_room, LocalBus())
        self.keeper = Keeper(self.rooms, self.hub)
        self.host = ""
        self.senders: list[str] = []
        self._sent = 0

    def gift_service(self, max_batch: int) -> GiftService:
        batches = GiftBatchStore(self.database, RankingStore(self.database))
        catalogue = CatalogueService(
            GiftStore(self.database), ConfigStore(self.database), LocalBus()
        )
        return GiftService(
            batches,
            self.members,
            Keeper(self.rooms, self.hub, max_batch=max_batch, queue_seconds=60),
            self.locks.hold,
            catalogue,
        )

    async def open(self) -> None:
        await self.members.make_indexes()
        host, _ = await self.users.create("app", "host")
        self.host = host.user_id
        live_id, _, _ = await self.rooms.get_or_create(host.person())
        await self.keeper.change(
            live_id, lambda room: room.open(host.person(), "e", "s", 1), host.user_id
        )
        for n in range(SENDERS):
            user, _ = await self.users.create("app", f"{n}", gold=10**9, gender=1)
            await self.keeper.enter(live_id, user.person())
            self.senders.append(user.user_id)

    async def give(self, service: GiftService, sender: str) -> None:
        self._sent += 1
        transfer = GiftTransfer(sender, self.host, 1, 5, 1, Decimal("0.5"), f"{self._sent}")
        answer = await service.give(GiftRequest(transfer, ROSE))
        assert answer["status"] == "success"


async def run(report: BenchmarkReport, uri: str) -> None:
    database = Database(uri, "bench_gifts")
    try:
        room = GiftRoom(database)
        await room.open()
        batched, unbatched = room.gift_service(MAX_BATCH), room.gift_service(1)
        run_bare = await _bare_transactions(database)
        cases: dict[str, tuple[Callable[[str], Awaitable[None]], int]] = {
            BATCHED: (lambda sender: room.give(batched, sender), GIFTS),
            UNBATCHED: (lambda sender: room.give(unbatched, sender), UNBATCHED_GIFTS),
        }
        figures: dict[str, list[tuple[float, float]]] = {name: [] for name in (*cases, BARE)}
        for number in range(RUNS + 1):  # run 0 is the warm-up
            for name, (give, count) in cases.items():
                figure = await _rate(room.senders, give, count)
                if number:
                    figures[name].append(figure)
            figures[BARE] += [(await run_bare(GIFTS), 0.0)] if number else []
        _report(report, figures)
    finally:
        await database.close()


async def _rate(
    senders: list[str], give: Callable[[str], Awaitable[None]], count: int
) -> tuple[float, float]:
    """(gifts per second, p99 in ms); each sender awaits its gift before the next one."""
    latencies: list[float] = []

    async def send_gifts(sender: str) -> None:
        for _ in range(count // len(senders)):
            sent_at = time.perf_counter()
            await give(sender)
            latencies.append(time.perf_counter() - sent_at)

    started = time.perf_counter()
    await asyncio.gather(*map(send_gifts, senders))
    rate = len(latencies) / (time.perf_counter() - started)
    return rate, 1_000 * statistics.quantiles(latencies, n=100)[98]


async def _bare_transactions(database: Database) -> Callable[[int], Awaitable[float]]:
    """The writes of a batch without reads, rules or fan-out: the upper bound of batching."""
    names = ("entries", "balances", "room", "ranks")
    entries, balances, room, ranks = (database.collection(f"bare_{name}") for name in names)
    await room.insert_one({"_id": 1, "version": 0})
    await balances.insert_many([{"_id": n, "gold": 0} for n in range(SENDERS + 1)])
    await ranks.insert_many([{"_id": n, "gold": 0} for n in range(2 * SENDERS + 2)])
    event: dict[str, Any] = {"text": "x" * 300}
    count = 0

    async def write(session: Session) -> None:
        nonlocal count
        version, count = count, count + MAX_BATCH
        numbers = range(version, count)
        log = {f"log.{n % 256}": event for n in numbers}
        await room.update_one(
            {"_id": 1, "version": version}, {"$set": {"version": count, **log}}, session=session
        )
        await entries.insert_many([{"_id": n, "text": "x" * 400} for n in numbers], session=session)
        user_ids = [n % SENDERS for n in numbers] + [SENDERS]
        increment = {"$inc": {"gold": 1}}
        await balances.bulk_write(
            [UpdateOne({"_id": n}, increment) for n in user_ids], session=session
        )
        rank_ids = [*user_ids, *(SENDERS + 1 + n for n in user_ids)]
        await ranks.bulk_write(
            [UpdateOne({"_id": n}, increment) for n in rank_ids], session=session
        )

    async def run_bare(gifts: int) -> float:
        """Gifts per second."""
        started = time.perf_counter()
        for _ in range(gifts // MAX_BATCH):
            await database.transaction(write)
        return gifts / (time.perf_counter() - started)

    return run_bare


def _report(report: BenchmarkReport, figures: dict[str, list[tuple[float, float]]]) -> None:
    report.section(
        "Gifts into one room",
        f"{SENDERS} users in one room send gifts to its host, each the next gift once the previous "
        f"one is majority-acknowledged. {RUNS} runs of {GIFTS:,} gifts (unbatched: "
        f"{UNBATCHED_GIFTS}) after a warm-up run, without HTTP: balances and idempotency keys are "
        "read, the gifts decided, then ledger entries, balances, rankings and the room's event "
        "written, and the event published to the hub. The bare transactions make the same writes "
        "without reads, rules or publishing. `bench/gifts.py`.",
    )
    rates = {name: [rate for rate, _ in rows] for name, rows in figures.items()}
    p99s = {name: spread([p99 for _, p99 in rows], 1) for name, rows in figures.items()}
    rows = [
        (name, spread(values), p99s[name] if name != BARE else "") for name, values in rates.items()
    ]
    report.table(["", "gifts per second", "p99 [ms]"], rows)
    relative = [
        f"{BATCHED} : {name} {spread(ratios(rates[BATCHED], rates[name]), 2)}"
        for name in (UNBATCHED, BARE)
    ]
    report.paragraph(f"{'; '.join(relative)}.")
