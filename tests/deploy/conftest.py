"""Settings and database of the servers that a test starts."""

from typing import Any

import pytest
from pymongo import MongoClient

DATABASE = "qlive_test_deploy"


@pytest.fixture
def shared_settings(mongo_uri: str, redis_url: str) -> dict[str, str]:
    """Settings of both servers, with an empty database."""
    with MongoClient[Any](mongo_uri) as client:
        client.drop_database(DATABASE)
    return {
        "mongodb__uri": mongo_uri,
        "mongodb__database": DATABASE,
        "redis__url": redis_url,
        "im__relay": "false",  # each server has its own IM simulator
        "pages__size": "2",
    }
