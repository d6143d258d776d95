"""An outage of MongoDB, from the client's view; chaos/ kills it, too."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tornado.ioloop import IOLoop

import storage.database
from config.settings import Settings
from devtools.embedded_mongod import EmbeddedMongod
from runtime.process import ServerProcess
from tests.support.api import ApiFixture
from tests.support.callbacks import CallbackSender, proposed
from tests.support.chat import group_of
from tests.support.ports import prefer_free_port
from tests.support.waiting import until

pytestmark = pytest.mark.programs

OPERATION_MS = 3_000
"""As in production; other tests wait longer for a busy MongoDB."""


@pytest.fixture
def mongod(io_loop: IOLoop, tmp_path: Path) -> Iterator[EmbeddedMongod]:
    prefer_free_port(tmp_path / "mongo")
    mongod = EmbeddedMongod(tmp_path / "mongo")
    io_loop.run_sync(mongod.start)
    yield mongod
    io_loop.run_sync(mongod.stop)


@pytest.fixture
def changes(mongod: EmbeddedMongod) -> dict[str, Any]:
    uri = f"mongodb://127.0.0.1:{mongod.port}/?directConnection=true&serverMonitoringMode=poll"
    return {"mongodb": {"uri": uri}}


@pytest.fixture
def server(
    io_loop: IOLoop, settings: tuple[Settings, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[ServerProcess]:
    monkeypatch.setattr(storage.database, "OPERATION_MS", OPERATION_MS)
    server = ServerProcess(*settings)
    io_loop.run_sync(server.start)
    yield server
    io_loop.run_sync(server.stop)


@pytest.fixture
def mongod_pid(mongod: EmbeddedMongod, tmp_path: Path) -> int:
    return int((tmp_path / "mongo" / "mongod.lock").read_text())


async def is_ready(api: ApiFixture) -> bool:
    return (await api.request("GET", "/readyz")).status == 200


async def test_suspended_mongodb_is_503_in_bounded_time_and_no_change_is_lost(
    api: ApiFixture, mongod_pid: int, server: ServerProcess
) -> None:
    host = await api.host()
    guest = await api.guest("bert", 1, host.live_id)
    socket = await host.connect()
    await socket.next("snapshot")
    callbacks = CallbackSender(api, server.settings)
    question = proposed(guest.id, GroupId=await group_of(guest))
    os.kill(mongod_pid, signal.SIGSTOP)
    try:
        reply = await asyncio.wait_for(
            guest.post("qlive_room/apply_micro/", live_id=host.live_id), 15
        )
        assert reply.refusal in {(503, "storage_away"), (503, "try_again")}
        assert int(reply.headers["Retry-After"]) > 0
        ready = await api.request("GET", "/readyz")
        assert (ready.status, ready.json["dependencies"]["mongodb"]["state"]) == (503, "down")
        assert (await api.request("GET", "/healthz")).status == 200
        async with asyncio.timeout(2):  # later IM sends the message without an answer
            assert (await callbacks.im(question)).ok()["ErrorCode"] == 0
    finally:
        os.kill(mongod_pid, signal.SIGCONT)
    await until(lambda: is_ready(api))
    (await guest.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    assert (await socket.next("micro_apply"))["seq"] == 1
    (await guest.post("qlive_room/accept_micro/", live_id=host.live_id)).ok()
    socket = await guest.connect(since=0, epoch="another")
    snapshot = await socket.next("snapshot")
    assert snapshot["data"]["male"]["user_id"] == guest.id
    assert snapshot["seq"] == 2
