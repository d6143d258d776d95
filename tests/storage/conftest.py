"""A Database of its own for each test: emptied, with every index, and the parts that live on it."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from pymongo import MongoClient
from tornado.ioloop import IOLoop

from storage.blocks import Blocks
from storage.configs import Configs
from storage.counters import Counters
from storage.database import Database
from storage.errands import Errands
from storage.gifts import Gifts
from storage.ledger import Ledger
from storage.letters import Letters
from storage.likes import Likes
from storage.members import Members
from storage.orders import Orders
from storage.presence import Presences
from storage.rooms import Rooms
from storage.tokens import Tokens
from storage.users import Users
from tests.rooms.cast import PATIENCE

NAME = "qlive_test_storage"


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
            self.errands,
            self.presences,
            self.letters,
        ):
            await part.make_indexes()


def build(database: Database, *, drops_streams: bool = True) -> House:
    members, counters, errands = Members(database), Counters(database), Errands(database)
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
        Ledger(database),
        errands,
        Presences(database, PATIENCE),
        Letters(database),
    )


@pytest.fixture
def database(io_loop: IOLoop, mongo_uri: str) -> Iterator[Database]:
    with MongoClient(mongo_uri) as client:
        for name in client[NAME].list_collection_names():
            client[NAME][name].delete_many({})
    database = Database(mongo_uri, NAME)
    yield database
    io_loop.run_sync(database.close)


@pytest.fixture
def house(io_loop: IOLoop, database: Database) -> House:
    house = build(database)
    io_loop.run_sync(house.make_indexes)
    return house
