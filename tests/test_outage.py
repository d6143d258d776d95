"""A database that goes away and comes back, as a phone sees it."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from devsecrets import fill
from server import Server
from settings import Settings
from storage.mongod import Mongod
from tests.phones import Reply, Street

pytestmark = pytest.mark.programs


@pytest.fixture
def mongod(io_loop: IOLoop, tmp_path: Path) -> Iterator[Mongod]:
    mongod = Mongod(tmp_path / "mongo")
    io_loop.run_sync(mongod.start)
    yield mongod
    io_loop.run_sync(mongod.stop)


@pytest.fixture
def server(io_loop: IOLoop, mongod: Mongod, secrets_file: Path) -> Iterator[Server]:
    uri = f"mongodb://127.0.0.1:{mongod.port}/?directConnection=true&serverMonitoringMode=poll"
    given: dict[str, Any] = {"server": {"port": 0}, "mongodb": {"uri": uri}}
    server = Server(*fill(Settings.model_validate(given), secrets_file))
    io_loop.run_sync(server.start)
    yield server
    io_loop.run_sync(server.stop)


def process_of(mongod: Mongod) -> int:
    assert mongod._process
    return mongod._process.pid


async def until_ok(street: Street, path: str) -> Reply:
    while True:
        answer = await street.ask("GET", path)
        if answer.status == 200:
            return answer


@pytest.mark.gen_test(timeout=60)
async def test_a_hanging_mongodb_is_503_in_bounded_time_and_all_is_well_afterwards(
    street: Street, mongod: Mongod
) -> None:
    host = await street.host()
    man = await street.guest("bert", 1, host.live_id)
    socket = await host.connect()
    await socket.next("snapshot")
    os.kill(process_of(mongod), signal.SIGSTOP)
    try:
        refused = await asyncio.wait_for(
            man.post("qlive_room/apply_micro/", live_id=host.live_id), 15
        )
        assert refused.refusal in {(503, "storage_away"), (503, "try_again")}
        assert int(refused.headers["Retry-After"]) > 0
        ready = await street.ask("GET", "/readyz")
        assert (ready.status, ready.json["dependencies"]["mongodb"]["state"]) == (503, "down")
        assert (await street.ask("GET", "/healthz")).status == 200
    finally:
        os.kill(process_of(mongod), signal.SIGCONT)
    await until_ok(street, "/readyz")
    (await man.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    assert (await socket.next("micro_apply"))["seq"] == 1


@pytest.mark.gen_test(timeout=90)
async def test_a_killed_mongodb_loses_nothing_that_was_acknowledged(
    street: Street, mongod: Mongod
) -> None:
    host = await street.host()
    man = await street.guest("bert", 1, host.live_id)
    (await man.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    watch = asyncio.create_task(mongod.watch())
    os.kill(process_of(mongod), signal.SIGKILL)
    refused = await man.post("qlive_room/accept_micro/", live_id=host.live_id)
    assert refused.status in {200, 503}, refused.text
    await until_ok(street, "/readyz")
    (await man.post("qlive_room/accept_micro/", live_id=host.live_id)).ok()
    socket = await man.connect(since=0, epoch="another")
    snapshot = await socket.next("snapshot")
    assert snapshot["data"]["male"]["user_id"] == man.id
    assert snapshot["seq"] == 2
    watch.cancel()
