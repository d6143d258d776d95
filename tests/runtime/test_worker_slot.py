"""A slot whose worker keeps dying, with workers that exist in memory only."""

import asyncio
import socket
from typing import Any

import pytest

from runtime import worker_slot
from runtime.listeners import listen_workers
from runtime.worker_slot import WorkerSlot
from tests.support.waiting import until


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
    """Starts a worker whenever `allowed` is set."""

    def __init__(self) -> None:
        self.workers: list[DyingWorker] = []
        self.allowed = asyncio.Event()
        self.allowed.set()

    async def __call__(self, _number: int, sockets: list[socket.socket]) -> Any:
        assert all(sock.fileno() >= 0 for sock in sockets)
        await self.allowed.wait()
        self.workers.append(DyingWorker())
        return self.workers[-1]


def is_refused(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.gen_test(timeout=20)
async def test_ports_are_closed_while_a_slot_rests_and_the_same_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rests: asyncio.Queue[tuple[float, asyncio.Event]] = asyncio.Queue()

    async def sleep(seconds: float) -> None:
        over = asyncio.Event()
        rests.put_nowait((seconds, over))
        await over.wait()

    monkeypatch.setattr(worker_slot, "sleep", sleep)
    (sockets,) = listen_workers("127.0.0.1", 0, 1, own_ports=True)
    ports = [sock.getsockname()[1] for sock in sockets]
    start = StartsOfWorkers()
    slot = WorkerSlot(1, sockets, start, 1)
    assert await slot.fill()
    pauses = []
    while not pauses or pauses[-1] < 4:
        start.workers[-1].die()
        seconds, over = await rests.get()
        pauses.append(seconds)
        assert [is_refused(port) for port in ports] == [seconds > 2] * 2
        count = len(start.workers)
        over.set()
        await until(lambda count=count: len(start.workers) > count)
        assert not any(map(is_refused, ports))
    assert pauses == [0, 0.5, 1, 2, 4]
    await slot.stop()
    assert all(map(is_refused, ports))
