"""Two workers with a real Redis between them, as one server: nobody hears less, more or
anything twice, also while workers are killed and renewed."""

import asyncio
import os
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from tests import test_server
from tests.people import Listener, Restless
from tests.phones import Phone, Street
from tests.realtime.listening import until
from tests.test_supervisor import Supervised

pytestmark = [pytest.mark.programs, pytest.mark.linux]

DATABASE = "qlive_test_workers"
PATIENCE = 60
folder = test_server.folder  # the fixture


class House:
    """A room with as many listeners as it takes to have some on every worker."""

    def __init__(self, process: Process, street: Street, host: Phone, people: list[Phone]) -> None:
        self.process = process
        self.street = street
        self.host = host
        self.listeners = [Listener(phone, 4000) for phone in people]
        self.restless: Restless
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        self.restless = Restless(await self.street.guest("bert", 1, self.host.live_id))
        self._tasks = [asyncio.create_task(listener.listen()) for listener in self.listeners]
        await until(lambda: all(listener.first for listener in self.listeners), PATIENCE)
        self._tasks.append(asyncio.create_task(self.restless.wander()))

    async def turns(self, count: int) -> None:
        wanted = self.restless.turns + count
        await until(lambda: self.restless.turns >= wanted or self._broken, PATIENCE)
        for task in self._broken:
            task.result()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def level(self) -> int:
        """Everybody has heard what the room has said; how much that is."""
        self.restless.going = False
        await self._tasks[-1]
        end = (await (await self.host.connect(self.host.live_id)).next("snapshot"))["seq"]
        await until(lambda: all(it.screen.seq >= end for it in self.listeners), PATIENCE)
        for listener in self.listeners:
            numbers = range(listener.first["seq"] + 1, listener.screen.seq + 1)
            assert len(listener.heard) == len(numbers)  # Screen.hear takes no gap and no double
        return int(end)

    @property
    def _broken(self) -> list[asyncio.Task[None]]:
        return [task for task in self._tasks if task.done()]


@asynccontextmanager
async def a_house(program: Supervised, listeners: int) -> AsyncIterator[House]:
    async with program.serving() as (process, address):
        street = Street(address, "workers")
        try:
            host = await street.host()
            people = [await street.guest(f"v{n}", 2, host.live_id) for n in range(listeners)]
            house = House(process, street, host, people)
            await house.open()
            try:
                yield house
            finally:
                await house.close()
        finally:
            await street.close()


@pytest.fixture
def program(folder: Path, mongo_uri: str, redis_url: str) -> Supervised:
    with MongoClient[Any](mongo_uri) as client:
        client.drop_database(DATABASE)
    return Supervised(
        folder,
        mongodb__uri=mongo_uri,
        mongodb__database=DATABASE,
        redis__url=redis_url,
        ops__token="workers",
    )


@pytest.mark.gen_test(timeout=300)
async def test_workers_are_one_server_while_each_is_killed_and_all_are_renewed(
    program: Supervised,
) -> None:
    async with a_house(program, listeners=12) as house:
        await house.turns(5)
        for slot, pid in enumerate(program.serving_pids()):
            os.kill(pid, signal.SIGKILL)
            await program.follower(slot, pid)
            await house.turns(5)
        before = program.serving_pids()
        house.process.send_signal(signal.SIGHUP)
        await until(lambda: program.told("workers_renewed"), PATIENCE)
        await house.turns(5)
        assert not set(before) & set(program.serving_pids())
        assert await house.level() > 40
        assert all(listener.resumed for listener in house.listeners)
