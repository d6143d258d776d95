"""A Database of its own for each test: emptied, with every index, and the parts that live on it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from pymongo import MongoClient
from tornado.ioloop import IOLoop

from handlers.giving import MOST, Asked, Giving
from money.book import Answer, Entry, Purse, lines_of
from money.gift import Present
from money.teller import Teller
from money.tray import Tray
from rooms.events import Numbered
from rooms.keeper import Keeper
from rooms.locks import Locks
from storage.blocks import Blocks
from storage.configs import Configs
from storage.counters import Counters
from storage.database import Database, Document, Session
from storage.errands import Errands
from storage.gifts import Gifts
from storage.latency import Latency
from storage.ledger import Ledger
from storage.letters import Letters
from storage.likes import Likes
from storage.members import Members
from storage.orders import Orders
from storage.presence import Presences
from storage.ranks import Ranks
from storage.rooms import Rooms
from storage.tokens import Tokens
from storage.trays import Known, Trays
from storage.users import Users
from tests.conftest import empty
from tests.realtime.listening import until
from tests.rooms.cast import PATIENCE

NAME = "qlive_test_storage"
START = "the start of the test"
"""By whom the purses were filled."""


@dataclass(frozen=True, slots=True)
class House:
    database: Database
    users: Users
    tokens: Tokens
    members: Members
    rooms: Rooms
    gifts: Gifts
    blocks: Blocks
    configs: Configs
    likes: Likes
    orders: Orders
    ledger: Ledger
    ranks: Ranks
    errands: Errands
    presences: Presences
    letters: Letters

    async def make_indexes(self) -> None:
        for part in (
            self.users,
            self.tokens,
            self.members,
            self.rooms,
            self.gifts,
            self.blocks,
            self.configs,
            self.likes,
            self.orders,
            self.ledger,
            self.ranks,
            self.errands,
            self.presences,
            self.letters,
        ):
            await part.make_indexes()

    # ---- people and their money

    async def people(self, *purses: tuple[int, int]) -> list[str]:
        """As many, with this gold and income in their purses, and in the book."""
        return [await self._person(*purse) for purse in purses]

    async def purse(self, user_id: str) -> Purse:
        user = await self.users.get(user_id)
        return Purse(user.gold, user.income)

    async def entries(self, **where: Any) -> list[Document]:
        """What was written since the start, in this order."""
        rows = self.database.collection("ledger").find({"by": {"$ne": START}, **where})
        return await rows.sort("$natural", 1).to_list()

    async def _person(self, gold: int, income: int) -> str:
        user, _ = await self.users.create("app", uuid4().hex)
        lines = lines_of(user.user_id, gold, income)
        entry = Entry(f"start:{user.user_id}", "grant", START, lines, {})

        async def fill(session: Session) -> None:
            await self.ledger.move(session, lines)
            await self.ledger.write(session, entry, None)

        await self.ledger.alone(fill)
        return user.user_id


def build(database: Database, *, drops_streams: bool = True) -> House:
    members, counters, errands = Members(database), Counters(database), Errands(database)
    ranks = Ranks(database)
    return House(
        database,
        Users(database, members),
        Tokens(database, days=30),
        members,
        Rooms(database, members, counters, errands, drops_streams=drops_streams),
        Gifts(database, counters),
        Blocks(database, counters),
        Configs(database, counters),
        Likes(database),
        Orders(database),
        Ledger(database, ranks),
        ranks,
        errands,
        Presences(database, PATIENCE),
        Letters(database),
    )


# ---- gifts


ROSE = {"id": 1, "name": "rose", "image": "https://gifts/rose", "effect": "petals"}


def rose(sender: str, receiver: str, request_id: str = "", **more: Any) -> Present:
    """A rose costs 10 and earns 5, unless `more` says something else."""
    terms = {"gift_id": 1, "gold": 10, "num": 1, "rate": Decimal("0.5"), **more}
    return Present(sender, receiver, request_id=request_id, **terms)


class WatchedTrays(Trays):
    """Remembers which gifts went together; of what stands in `meanwhile`, one thing each happens
    between a look and the write."""

    def __init__(self, database: Database, ranks: Ranks) -> None:
        super().__init__(database, ranks)
        self.written: list[list[str]] = []
        self.meanwhile: list[Callable[[], Awaitable[object]]] = []

    async def look(self, presents: Sequence[Present]) -> Known:
        known = await super().look(presents)
        if self.meanwhile:
            await self.meanwhile.pop(0)()
        return known

    async def write(self, session: Session, tray: Tray) -> None:
        await super().write(session, tray)
        self.written.append([entry.key for entry, _ in tray.entries])


class Process:
    """Gives and grants as one of several processes: with reads, locks and queues of its own."""

    def __init__(self, house: House, most: int = MOST) -> None:
        mine = build(house.database)
        self.told: list[tuple[int, int, str]] = []
        self.locks = Locks()
        self.keeper = Keeper(mine.rooms, self, self.locks)
        self.trays = WatchedTrays(house.database, mine.ranks)
        self.giving = Giving(self.trays, mine.members, self.keeper, self.locks.hold, most)
        self.teller = Teller(mine.ledger, self.locks.hold)

    async def give(self, present: Present) -> Answer:
        return await self.giving.give(Asked(present, ROSE))

    async def together(self, live_id: int, *presents: Present) -> list[Answer | BaseException]:
        """Give what comes while the room is busy."""
        async with self.busy(live_id):
            giving = await self.come(live_id, *presents)
        return await asyncio.gather(*giving, return_exceptions=True)

    def busy(self, live_id: int) -> AbstractAsyncContextManager[None]:
        """Nothing is given in the room meanwhile."""
        return self.locks.hold(f"room:{live_id}")

    async def come(self, live_id: int, *presents: Present) -> list[asyncio.Task[Answer]]:
        """To a busy room: the first waits at the door, and the others queue up behind it."""
        coming = []
        for ahead, present in enumerate(presents):
            coming.append(asyncio.ensure_future(self.give(present)))
            await until(partial(self._is_queue, live_id, ahead))
        return coming

    def _is_queue(self, live_id: int, length: int) -> bool:
        queue = self.giving._rooms._queues.get(live_id)
        return queue is not None and len(queue) == length

    # ---- who hears of what the keeper has saved

    def tell(self, live_id: int, told: Sequence[Numbered]) -> None:
        self.told += [(live_id, event.seq, event.type) for event in told]

    def stir(self, live_id: int) -> None:
        """Nobody counts here."""

    def show_out(self, live_id: int, user_id: str, number: int, *, barred: bool) -> None:
        """Nobody is connected here."""


# ---- what tests are given


@pytest.fixture
def commands() -> list[str]:
    """The names of all commands that MongoDB has answered so far."""
    return []


@pytest.fixture
def database(
    io_loop: IOLoop, mongo_uri: str, mongo: MongoClient[Any], commands: list[str]
) -> Iterator[Database]:
    empty(mongo, NAME)
    database = Database(mongo_uri, NAME, [Latency(lambda name, *_: commands.append(name))])
    yield database
    io_loop.run_sync(database.close)


@pytest.fixture
def house(io_loop: IOLoop, database: Database, indexed: set[str]) -> House:
    house = build(database)
    if NAME not in indexed:
        io_loop.run_sync(house.make_indexes)
        indexed.add(NAME)
    return house
