"""Presence and leases on a database of their own."""

from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient
from tornado.ioloop import IOLoop

from storage.database import Database
from tests.conftest import empty
from tests.realtime.ward import NAME, Ward


@pytest.fixture
def ward(io_loop: IOLoop, mongo_uri: str, mongo: MongoClient[Any]) -> Iterator[Ward]:
    empty(mongo, NAME)
    ward = Ward(Database(mongo_uri, NAME))
    io_loop.run_sync(ward.open)
    yield ward
    io_loop.run_sync(ward.database.close)
