"""Folders, settings and databases of the servers that a test starts."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from tests.support.ports import free_port, is_open
from tests.support.replica_set import Member, replica_set_member

DATABASE = "qlive_test_deploy"
START_SECONDS = 30.0


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not is_open(port):
        assert time.monotonic() < deadline, f"port {port} does not accept connections"
        time.sleep(0.01)


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


@pytest.fixture
def member(tmp_path: Path) -> Iterator[Member]:
    """A one-member replica set with deploy/mongod.conf and a root user."""
    port = free_port()
    deadline = time.monotonic() + START_SECONDS
    with replica_set_member(tmp_path, port) as member:
        wait_for_port(port)
        with MongoClient[Any](member.uri(options="directConnection=true")) as client:
            members = [{"_id": 0, "host": member.address}]
            client.admin.command("replSetInitiate", {"_id": "qlive", "members": members})
            while not client.admin.command("hello")["isWritablePrimary"]:
                assert time.monotonic() < deadline, "mongod does not become primary"
            roles = [{"role": "root", "db": "admin"}]
            client.admin.command("createUser", "root", pwd="root", roles=roles)
        yield member
