"""What is stored, read past the server."""

from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from server import Server


@pytest.fixture
def db(server: Server, mongo: MongoClient[Any]) -> Database[dict[str, Any]]:
    """The server's database, as a stranger with a MongoDB client sees it."""
    return mongo[server.settings.mongodb.database]
