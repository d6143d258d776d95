"""A real MongoDB and Redis for the whole run, and a real server on a real port for a test."""

import asyncio
import fcntl
import functools
import gc
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from Crypto.PublicKey import RSA
from pymongo import MongoClient, WriteConcern
from tornado.ioloop import IOLoop

import demo
import rooms.keeper
import storage.database
import storage.ledger
from devsecrets import DevSecrets, fill
from handlers.gate import AT_ONCE, Gate
from handlers.joining import Joining
from handlers.parts import Parts
from rooms.locks import Locks
from server import Server
from settings import Settings
from storage.mongod import Mongod
from tests import described
from tests.examples import SEARCHES
from tests.loops import new_loop
from tests.phones import Street
from tests.planting import Planting
from tests.redis_server import RedisServer
from tests.scheduling import scheduled

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
HANGING_SECONDS = 3_600.0 if SEARCHES else 180.0
BUSY_SECONDS = 60.0
PYTEST = os.path.relpath(Path(sys.prefix) / "bin" / "pytest")
DATABASE = "qlive_test"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Runs without the garbage collector: what is imported stays, and older releases of Python 3.11
    fail where the collector runs within ast.parse (python/cpython#106905)."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Gives tests time, spreads the slow ones, and leaves out those that need another system."""
    for item in items:
        # A timeout is for a test that hangs, not for a machine that is busy.
        if mark := item.get_closest_marker("gen_test"):
            timeout = max(HANGING_SECONDS, mark.kwargs.get("timeout", 0))
            item.add_marker(pytest.mark.gen_test(timeout=timeout), append=False)
    if sys.platform != "linux":
        foreign = [item for item in items if item.get_closest_marker("linux")]
        config.hook.pytest_deselected(items=foreign)
        items[:] = [item for item in items if item not in foreign]
    items[:] = scheduled(items, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says how to run what failed by itself."""
    stats = terminalreporter.stats
    failed = dict.fromkeys(it.nodeid for it in stats.get("failed", []) + stats.get("error", []))
    if failed:
        terminalreporter.section("to run one alone")
    for nodeid in failed:
        terminalreporter.line(f"{PYTEST} {shlex.quote(nodeid)}")


@pytest.fixture
def io_loop() -> Iterator[IOLoop]:
    """A new event loop; pytest-tornado's own relies on one that Python 3.14 no longer makes."""
    with new_loop() as io_loop:
        yield io_loop


@pytest.fixture(autouse=True)
def as_described(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Whatever a server in this process answers or tells, to whomever, is as its description
    says."""
    wrong = described.watched(monkeypatch)
    yield wrong
    assert not wrong, "\n".join(wrong)


@pytest.fixture(scope="session")
def mongo_uri() -> Iterator[str]:
    """One mongod for all tests of a worker, in memory where there is any to be had."""
    folder = Path(tempfile.mkdtemp(prefix="qlive-", dir=MEMORY if MEMORY.is_dir() else None))
    mongod, loop = Mongod(folder), asyncio.new_event_loop()
    try:
        uri = loop.run_until_complete(mongod.start())
        _set_up_for_tests(uri)
        yield uri
        loop.run_until_complete(mongod.stop())
    finally:
        loop.close()
        shutil.rmtree(folder)


def _set_up_for_tests(uri: str) -> None:
    """A majority write does not wait for the journal, which would halve what MongoDB can do: no
    test that uses this mongod kills it. Nobody reads its diagnostics."""
    with MongoClient[Any](uri) as client:
        config = client.admin.command("replSetGetConfig")["config"]
        changed = {"version": config["version"] + 1, "writeConcernMajorityJournalDefault": False}
        client.admin.command("replSetReconfig", config | changed)
        client.admin.command("setParameter", 1, diagnosticDataCollectionEnabled=False)


@pytest.fixture(scope="session")
def mongo(mongo_uri: str) -> Iterator[MongoClient[Any]]:
    """A client that is no part of any server."""
    with MongoClient[Any](mongo_uri, tz_aware=True) as client:
        yield client


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


@pytest.fixture(scope="session", autouse=True)
def keys_read_once() -> Iterator[None]:
    """Reading an RSA key proves it prime again, which takes 10 ms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RSA, "import_key", functools.cache(RSA.import_key))
        yield


@pytest.fixture(scope="session", autouse=True)
def patient_server() -> Iterator[None]:
    """A busy machine is no reason for `try_again`; tests of that answer set how soon it comes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rooms.keeper, "PATIENCE_SECONDS", BUSY_SECONDS)
        patch.setattr(storage.database, "PATIENCE_SECONDS", BUSY_SECONDS)
        patch.setattr(storage.ledger, "PATIENCE_SECONDS", BUSY_SECONDS)
        patch.setattr(Locks.__init__, "__defaults__", (BUSY_SECONDS,))
        patch.setattr(Joining.__init__, "__defaults__", (BUSY_SECONDS,))
        patch.setattr(Gate.__init__, "__defaults__", (AT_ONCE, BUSY_SECONDS))
        yield


@pytest.fixture(scope="session")
def indexed() -> set[str]:
    """Databases that have their indexes, which stay when they are emptied."""
    return set()


@pytest.fixture(scope="session")
def planting(mongo: MongoClient[Any]) -> Planting:
    return Planting(mongo)


@pytest.fixture(scope="session")
def secrets_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RSA keys take a second to make: one worker makes them for all."""
    ours = tmp_path_factory.getbasetemp()
    file = (ours.parent if "PYTEST_XDIST_WORKER" in os.environ else ours) / "dev-secrets.json"
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        fill(Settings(), file)
    return file


@pytest.fixture
def changes() -> dict[str, Any]:
    """Settings that differ from the defaults; a test module overrides this fixture."""
    return {}


@pytest.fixture
def settings(
    mongo_uri: str, mongo: MongoClient[Any], secrets_file: Path, changes: dict[str, Any]
) -> tuple[Settings, DevSecrets]:
    """Development settings on the tests' MongoDB, with an empty database."""
    empty(mongo, DATABASE)
    base: dict[str, Any] = {
        "server": {"port": 0, "drain_seconds": 1},
        "mongodb": {"uri": mongo_uri, "database": DATABASE},
    }
    for section, values in changes.items():
        base[section] = {**base.get(section, {}), **values}
    return fill(Settings.model_validate(base), secrets_file)


def empty(mongo: MongoClient[Any], database: str) -> None:
    """Leaves collections and indexes, which take longer to make than documents to delete."""
    unasked = mongo.get_database(database, write_concern=WriteConcern(w=0))
    for name in unasked.list_collection_names():
        unasked[name].delete_many({})
    mongo.admin.command("ping")  # on the same connection: answered after them


@pytest.fixture
def demo_people() -> bool:
    """Whether the server of a test has the 22 demo people; a test module may override this."""
    return False


@pytest.fixture
def server(
    io_loop: IOLoop,
    settings: tuple[Settings, DevSecrets],
    demo_people: bool,
    planting: Planting,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Server]:
    """The whole server in this process; tests reach it over the network like anybody else."""
    if not demo_people:
        monkeypatch.setattr(demo, "PEOPLE", [])

    async def plant(server: Server, parts: Parts) -> None:
        await planting(server, parts)

    monkeypatch.setattr(Server, "_plant", plant)
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
