"""Two workers with a Redis: every event arrives once while workers are killed and renewed."""

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

from tests.support.api import ApiClient, ApiFixture
from tests.support.supervised_program import SupervisedProgram
from tests.support.users import Listener, SeatHopper
from tests.support.waiting import until

pytestmark = [pytest.mark.programs, pytest.mark.linux]

DATABASE = "qlive_test_workers"
PATIENCE = 60


class BusyRoom:
    """A room with many listeners, some on each worker, and continuous changes of seat."""

    def __init__(
        self, process: Process, api: ApiFixture, host: ApiClient, clients: list[ApiClient]
    ) -> None:
        self.process = process
        self.api = api
        self.host = host
        self.listeners = [Listener(client, 4000) for client in clients]
        self.hopper: SeatHopper
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        self.hopper = SeatHopper(await self.api.guest("bert", 1, self.host.live_id))
        self._tasks = [asyncio.create_task(listener.listen()) for listener in self.listeners]
        await until(lambda: all(listener.first for listener in self.listeners), PATIENCE)
        self._tasks.append(asyncio.create_task(self.hopper.run()))

    async def wait_for_rounds(self, count: int) -> None:
        """Waits for `count` more changes of seat; raises what a listener raised."""
        wanted = self.hopper.rounds + count
        await until(lambda: self.hopper.rounds >= wanted or self._finished, PATIENCE)
        for task in self._finished:
            task.result()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def finish(self) -> int:
        """Checks that every listener has received every event once; returns the last number."""
        self.hopper.active = False
        await self._tasks[-1]
        last_seq = (await (await self.host.connect(self.host.live_id)).next("snapshot"))["seq"]
        await until(lambda: all(it.screen.seq >= last_seq for it in self.listeners), PATIENCE)
        for listener in self.listeners:
            numbers = range(listener.first["seq"] + 1, listener.screen.seq + 1)
            assert len(listener.received) == len(numbers)  # Screen fails on gaps and repetitions
        return int(last_seq)

    @property
    def _finished(self) -> list[asyncio.Task[None]]:
        return [task for task in self._tasks if task.done()]


@asynccontextmanager
async def busy_room(program: SupervisedProgram, listeners: int) -> AsyncIterator[BusyRoom]:
    async with program.serving() as (process, address):
        api = ApiFixture(address)
        try:
            host = await api.host()
            clients = [await api.guest(f"v{n}", 2, host.live_id) for n in range(listeners)]
            room = BusyRoom(process, api, host, clients)
            await room.open()
            try:
                yield room
            finally:
                await room.close()
        finally:
            await api.close()


@pytest.fixture
def program(data_folder: Path, mongo_uri: str, redis_url: str) -> SupervisedProgram:
    with MongoClient[Any](mongo_uri) as client:
        client.drop_database(DATABASE)
    return SupervisedProgram(
        data_folder,
        mongodb__uri=mongo_uri,
        mongodb__database=DATABASE,
        redis__url=redis_url,
    )


@pytest.mark.gen_test(timeout=300)
async def test_every_event_arrives_once_while_workers_are_killed_and_renewed(
    program: SupervisedProgram,
) -> None:
    async with busy_room(program, listeners=12) as room:
        await room.wait_for_rounds(5)
        for slot, pid in enumerate(program.serving_pids()):
            os.kill(pid, signal.SIGKILL)
            await program.successor_pid(slot, pid)
            await room.wait_for_rounds(5)
        before = program.serving_pids()
        room.process.send_signal(signal.SIGHUP)
        await until(lambda: program.log_events("workers_renewed"), PATIENCE)
        await room.wait_for_rounds(5)
        assert not set(before) & set(program.serving_pids())
        assert await room.finish() > 40
        assert all(listener.resumed for listener in room.listeners)
