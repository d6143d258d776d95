"""A slot whose worker keeps dying, with workers that exist in memory only."""

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from runtime.listeners import listen_workers
from runtime.worker_slot import MAX_QUEUED_SECONDS, WorkerSlot
from tests.support.ports import free_ports
from tests.support.waiting import run_ready_tasks, until

slot_test = pytest.mark.gen_test(timeout=20)


class DyingWorker:
    """Serves until `die`."""

    pid, age = 1, 0.0

    def __init__(self) -> None:
        self._dead = asyncio.Event()

    def die(self) -> None:
        self._dead.set()

    async def wait_ready(self, _timeout: float) -> bool:
        return True

    async def supervise(self) -> int:
        await self._dead.wait()
        return -9

    async def terminate(self, _seconds: float) -> int:
        self.die()
        return 0


class StartsOfWorkers:
    """Starts a worker when `allowed` is set, unless it `fails`."""

    def __init__(self) -> None:
        self.fails = False
        self.workers: list[DyingWorker] = []
        self.allowed = asyncio.Event()
        self.allowed.set()

    async def __call__(self, _number: int, sockets: list[socket.socket]) -> Any:
        assert all(sock.fileno() >= 0 for sock in sockets)
        await self.allowed.wait()
        if self.fails:
            raise OSError
        self.workers.append(DyingWorker())
        return self.workers[-1]


def is_refused(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


class SlotFixture:
    """A slot on two ports, whose pauses end when the test says so."""

    def __init__(self) -> None:
        (sockets,) = listen_workers("127.0.0.1", free_ports(2), 1, own_ports=True)
        self.ports = [sock.getsockname()[1] for sock in sockets]
        self.start = StartsOfWorkers()
        self.rests: asyncio.Queue[tuple[float, asyncio.Event]] = asyncio.Queue()
        self.slot = WorkerSlot(1, sockets, self.start, 1, self._sleep)

    async def _sleep(self, seconds: float) -> None:
        over = asyncio.Event()
        self.rests.put_nowait((seconds, over))
        await over.wait()

    def refuses(self) -> bool:
        refused = {is_refused(port) for port in self.ports}
        assert len(refused) == 1
        return refused.pop()

    async def die_and_rest(self) -> tuple[float, asyncio.Event]:
        """Until the slot pauses; the length of the pause and what ends it."""
        self.start.workers[-1].die()
        return await self.rests.get()

    async def restart(self, over: asyncio.Event) -> None:
        """End the pause, and wait for the next worker."""
        count = len(self.start.workers)
        over.set()
        await until(lambda: len(self.start.workers) > count and self.slot.serves)

    async def rest_long(self) -> asyncio.Event:
        """Let workers die until the slot rests with closed ports; what ends that."""
        while True:
            seconds, over = await self.die_and_rest()
            if seconds > MAX_QUEUED_SECONDS:
                assert self.refuses()
                return over
            await self.restart(over)


@pytest.fixture
def slot_fixture(io_loop: IOLoop) -> Iterator[SlotFixture]:
    fixture = SlotFixture()
    io_loop.run_sync(fixture.slot.fill)
    yield fixture
    io_loop.run_sync(fixture.slot.stop)
    assert fixture.refuses()


@slot_test
async def test_ports_are_closed_in_long_pauses_and_the_same_afterwards(
    slot_fixture: SlotFixture,
) -> None:
    pauses = []
    while not pauses or pauses[-1] < 4:
        seconds, over = await slot_fixture.die_and_rest()
        pauses.append(seconds)
        assert slot_fixture.refuses() == (seconds > 2)
        await slot_fixture.restart(over)
        assert not slot_fixture.refuses()
    assert pauses == [0, 0.5, 1, 2, 4]


@slot_test
async def test_renewal_of_a_slot_that_rests_opens_its_ports_for_good(
    slot_fixture: SlotFixture,
) -> None:
    over = await slot_fixture.rest_long()
    assert await slot_fixture.slot.renew()
    assert not slot_fixture.refuses()
    over.set()
    await run_ready_tasks()
    assert not slot_fixture.refuses()
    assert await slot_fixture.slot.renew()


@slot_test
async def test_renewal_that_fails_while_a_slot_rests_leaves_its_ports_closed(
    slot_fixture: SlotFixture,
) -> None:
    over = await slot_fixture.rest_long()
    slot_fixture.start.fails = True
    assert not await slot_fixture.slot.renew()
    assert slot_fixture.refuses()
    slot_fixture.start.fails = False
    await slot_fixture.restart(over)
    assert not slot_fixture.refuses()


@slot_test
async def test_worker_that_dies_during_its_renewal_leaves_the_ports_open(
    slot_fixture: SlotFixture,
) -> None:
    await slot_fixture.restart(await slot_fixture.rest_long())
    slot_fixture.start.allowed.clear()
    renewal = asyncio.ensure_future(slot_fixture.slot.renew())
    await run_ready_tasks()
    seconds, over = await slot_fixture.die_and_rest()
    assert seconds > MAX_QUEUED_SECONDS
    assert not slot_fixture.refuses()
    slot_fixture.start.allowed.set()
    assert await renewal
    over.set()
    assert not slot_fixture.refuses()
