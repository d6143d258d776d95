"""A place for what a test runs, and what both machines are set to."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from tests import test_server
from tests.deploy.member import a_member
from tests.ports import answers, free_port

DATABASE = "qlive_test_deploy"
folder = test_server.folder  # the fixture


@pytest.fixture
def where(mongo_uri: str, redis_url: str) -> dict[str, str]:
    """What both machines are set to, with a database that is not there yet."""
    with MongoClient[Any](mongo_uri) as client:
        client.drop_database(DATABASE)
    return {
        "mongodb__uri": mongo_uri,
        "mongodb__database": DATABASE,
        "redis__url": redis_url,
        "im__relay": "false",  # IM is played by each machine for itself
        "pages__size": "2",
    }


@pytest.fixture
def member(tmp_path: Path) -> Iterator[str]:
    """host:port of a replica set of one as deploy/mongod.conf makes it, with the user root."""
    port = free_port()
    at, deadline = f"127.0.0.1:{port}", time.monotonic() + 30
    with a_member(tmp_path, port):
        while not answers(port):
            assert time.monotonic() < deadline, "mongod does not answer"
        with MongoClient[Any](f"mongodb://{at}/?directConnection=true") as client:
            members = [{"_id": 0, "host": at}]
            client.admin.command("replSetInitiate", {"_id": "qlive", "members": members})
            while not client.admin.command("hello")["isWritablePrimary"]:
                assert time.monotonic() < deadline, "mongod does not become primary"
            roles = [{"role": "root", "db": "admin"}]
            client.admin.command("createUser", "root", pwd="root", roles=roles)
        yield at
