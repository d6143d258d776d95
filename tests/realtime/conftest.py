"""Presence and leases on a database of their own."""

from collections.abc import Iterator

import pytest
from pymongo import MongoClient
from tornado.ioloop import IOLoop

from storage.database import Database
from tests.realtime.ward import NAME, Ward


@pytest.fixture
def ward(io_loop: IOLoop, mongo_uri: str) -> Iterator[Ward]:
    with MongoClient(mongo_uri) as client:
        for name in client[NAME].list_collection_names():
            client[NAME][name].delete_many({})
    ward = Ward(Database(mongo_uri, NAME))
    io_loop.run_sync(ward.open)
    yield ward
    io_loop.run_sync(ward.database.close)
