"""What is stored, read past the server."""

from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from server import Server


@pytest.fixture
def db(server: Server) -> Iterator[Database[dict[str, Any]]]:
    """The server's database, as a stranger with a MongoDB client sees it."""
    mongodb = server.settings.mongodb
    with MongoClient[dict[str, Any]](mongodb.uri, tz_aware=True) as client:
        yield client[mongodb.database]
