"""A real MongoDB and Redis for the whole run, and a real server on a real port for a test."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from pymongo import MongoClient
from tornado.ioloop import IOLoop

from devsecrets import DevSecrets, fill
from server import Server
from settings import Settings
from storage.mongod import Mongod
from tests import described
from tests.phones import Street
from tests.redis_server import RedisServer

# Where rich is installed, structlog draws tracebacks with it: seconds in which nothing else runs.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        ),
    ]
)

MEMORY = Path("/dev/shm")
LEAVING_SECONDS = 5.0
DATABASE = "qlive_test"


@pytest.fixture
def io_loop() -> Iterator[IOLoop]:
    """A new event loop; pytest-tornado's own relies on one that Python 3.14 no longer makes."""
    with new_loop() as io_loop:
        yield io_loop


@contextmanager
def new_loop() -> Iterator[IOLoop]:
    """Ends the tasks that are left on it, so that no later test meets them as garbage."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    io_loop = IOLoop(asyncio_loop=loop, make_current=False)
    try:
        yield io_loop
        if tasks := asyncio.all_tasks(loop):
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.wait(tasks, timeout=LEAVING_SECONDS))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        asyncio.set_event_loop(None)
        io_loop.close(all_fds=True)


@pytest.fixture(autouse=True)
def as_described(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Whatever a server in this process answers or tells, to whomever, is as its description
    says."""
    wrong = described.watched(monkeypatch)
    yield wrong
    assert not wrong, "\n".join(wrong)


@pytest.fixture(scope="session")
def mongo_uri() -> Iterator[str]:
    """One mongod for all tests, in memory where there is any to be had."""
    folder = Path(tempfile.mkdtemp(prefix="qlive-", dir=MEMORY if MEMORY.is_dir() else None))
    mongod, loop = Mongod(folder), asyncio.new_event_loop()
    try:
        yield loop.run_until_complete(mongod.start())
        loop.run_until_complete(mongod.stop())
    finally:
        loop.close()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """One Redis for all tests that let it be."""
    redis = RedisServer()
    redis.start()
    yield redis.url
    redis.kill()


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A Redis of this test's own."""
    redis = RedisServer()
    redis.start()
    yield redis
    redis.kill()


@pytest.fixture(scope="session")
def secrets_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RSA keys take a second to make: once is enough."""
    return tmp_path_factory.mktemp("secrets") / "dev-secrets.json"


@pytest.fixture
def changes() -> dict[str, Any]:
    """Settings that differ from the defaults; a test module overrides this fixture."""
    return {}


@pytest.fixture
def settings(
    mongo_uri: str, secrets_file: Path, changes: dict[str, Any]
) -> tuple[Settings, DevSecrets]:
    """Development settings on the tests' MongoDB, with an empty database."""
    with MongoClient(mongo_uri) as client:
        for name in client[DATABASE].list_collection_names():
            client[DATABASE][name].delete_many({})
    base: dict[str, Any] = {
        "server": {"port": 0, "drain_seconds": 1},
        "mongodb": {"uri": mongo_uri, "database": DATABASE},
    }
    for section, values in changes.items():
        base[section] = {**base.get(section, {}), **values}
    return fill(Settings.model_validate(base), secrets_file)


@pytest.fixture
def server(io_loop: IOLoop, settings: tuple[Settings, DevSecrets]) -> Iterator[Server]:
    """The whole server in this process; tests reach it over the network like anybody else."""
    server = Server(*settings)
    io_loop.run_sync(server.start)
    yield server
    io_loop.run_sync(server.stop)


@pytest.fixture
def street(io_loop: IOLoop, server: Server) -> Iterator[Street]:
    """Where the people of a test come from, each with a phone."""
    street = Street(server.address, server.settings.ops.token)
    yield street
    io_loop.run_sync(street.close)
