import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import websockets
from pymongo import MongoClient

from chaos.event_check import EventChecker
from chaos.report import Violations
from chaos.timeline import Timelines
from tests.support.api import ApiClient, ApiFixture, Reply
from tests.support.nginx import nginx_in_front
from tests.support.ports import free_ports
from tests.support.server_program import ServerProgram, exit_status
from tests.support.waiting import until

pytestmark = [pytest.mark.programs, pytest.mark.linux]

FAST = {"zone=token burst=20": "zone=token burst=5000"}
"""The users of the test send the next request as soon as the last one is answered."""
UNREACHABLE = (aiohttp.ClientError, OSError, TimeoutError)
START_GOLD = 100_000
RETRY_SECONDS = 0.02


async def test_restart_of_one_process_after_the_other_loses_nothing(
    data_folder: Path,
    mongo: MongoClient[Any],
    mongo_uri: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The loop of docs/deploy.md, under gifts and sockets."""
    mongo.drop_database("qlive_test_deploy")
    shared_settings = {
        "mongodb__uri": mongo_uri,
        "mongodb__database": "qlive_test_deploy",
        "redis__url": redis_url,
        "im__relay": "false",  # each server has its own IM simulator
    }
    async with (
        two_machines(data_folder, shared_settings) as machines,
        nginx_in_front(data_folder, *(machine.port for machine in machines), monkeypatch, FAST) as (
            _,
            front_api,
        ),
    ):
        direct = ApiFixture(machines[0].address)
        host = await direct.host()
        giver = await direct.guest("bert", 1, host.live_id, gold=START_GOLD)
        guest = await direct.guest("anna", 2, host.live_id)
        await front_api.use_operator_of(direct)
        await direct.close()
        traffic = RoomTraffic(*(client.through(front_api) for client in (host, giver, guest)))
        async with traffic.running():
            for machine in machines:
                await machine.stop()
                await traffic.wait_for_progress(2)
                await machine.start()
                await traffic.wait_for_progress(1)
        assert all(listener.checker.resumed for listener in traffic.listeners)
        # 503 at most, which clients repeat: the connection was accepted and not yet read.
        assert set(front_api.statuses) <= {200, 503}, front_api.statuses


class Machine:
    """A server that keeps its port when it is stopped and started again."""

    def __init__(
        self, folder: Path, port: int, running: AsyncExitStack, settings: dict[str, str]
    ) -> None:
        own_folder = folder / str(port)
        own_folder.mkdir()
        shutil.copy(folder / "dev-secrets.json", own_folder)
        self.port = port
        self._program = ServerProgram(own_folder, server__port=str(port), **settings)
        self._running = running

    async def start(self) -> None:
        """Returns when the server accepts connections."""
        started = await self._running.enter_async_context(self._program.serving())
        self._process, self.address = started

    async def stop(self) -> None:
        self._process.terminate()
        await exit_status(self._process)


@asynccontextmanager
async def two_machines(folder: Path, settings: dict[str, str]) -> AsyncIterator[list[Machine]]:
    async with AsyncExitStack() as running:
        machines = [Machine(folder, port, running, settings) for port in free_ports(2)]
        for machine in machines:
            await machine.start()
        yield machines


class Listener:
    """A socket client that reconnects with `since`; every frame is checked."""

    def __init__(self, client: ApiClient, timelines: Timelines) -> None:
        self.client = client
        self.violations = Violations()
        self.checker = EventChecker(client.name, client.live_id, timelines, self.violations)

    async def listen(self) -> None:
        checker = self.checker
        while True:
            with suppress(websockets.WebSocketException, *UNREACHABLE):
                begun = {"epoch": checker.epoch, "since": checker.seq} if checker.seq >= 0 else {}
                connection = (await self.client.connect(**begun)).connection
                checker.on_connect()
                async for text in connection:
                    frame = json.loads(text)
                    if frame["type"] == "bye":
                        assert frame["code"] == 4000, frame
                    else:
                        checker.on_frame(frame)
            await asyncio.sleep(RETRY_SECONDS)


class RoomTraffic:
    """Users who listen, one of whom gives roses in a room all the time."""

    def __init__(self, host: ApiClient, giver: ApiClient, guest: ApiClient) -> None:
        self.host, self.giver = host, giver
        self.timelines = Timelines()
        self.listeners = [Listener(client, self.timelines) for client in (host, giver, guest)]
        self.is_active = True
        self.balances: list[int] = []
        """The giver's gold after each acknowledged gift."""

    async def wait_for_progress(self, count: int) -> None:
        """Waits for `count` more gifts."""
        gifts = len(self.balances) + count
        await until(lambda: len(self.balances) >= gifts)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Traffic while the block runs; then checks that every event arrived exactly once."""
        async with asyncio.TaskGroup() as tasks:
            listening = [tasks.create_task(listener.listen()) for listener in self.listeners]
            await until(lambda: all(user.checker.opened for user in self.listeners))
            giving = tasks.create_task(self._give())
            await self.wait_for_progress(3)
            yield
            await self.wait_for_progress(3)
            self.is_active = False
            await giving
            room = (await self.host.api.ops("GET", f"rooms/{self.host.live_id}")).ok()
            await until(lambda: all(user.checker.seq >= room["seq"] for user in self.listeners))
            for task in listening:
                task.cancel()
        for listener in self.listeners:
            assert not listener.violations, listener.violations.examples
            assert (listener.checker.snapshots, listener.checker.seq) == (1, room["seq"])
        [timeline] = self.timelines.by_session.values()
        gifts = [frame for _, frame in sorted(timeline.events.items()) if frame["type"] == "gift"]
        numbers = [int(gift["data"]["request_id"]) for gift in gifts]
        assert numbers == [*range(len(self.balances))][-len(numbers) :]
        assert len(numbers) >= 6
        assert self.balances == [START_GOLD - n - 1 for n in range(len(self.balances))]

    async def _give(self) -> None:
        """Gives one rose after another, and retries each until it is acknowledged."""
        rose: Any = {"user_id": self.host.id, "gift_id": 1}
        while self.is_active:
            rose["request_id"] = str(len(self.balances))
            reply = await _answer(lambda: self.giver.get("qlive_gift/push_gift/", **rose))
            assert reply.ok()["status"] == "success"
            self.balances.append(reply.json["gold"])


async def _answer(request: Callable[[], Awaitable[Reply]]) -> Reply:
    """Repeats the request until a server answers with a status below 500."""
    while True:
        with suppress(*UNREACHABLE):
            reply = await asyncio.wait_for(request(), 10)
            if reply.status < 500:
                return reply
        await asyncio.sleep(RETRY_SECONDS)
