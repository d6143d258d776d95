"""The base of the background workers."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.leased_worker import LeasedWorker
from tests.support.waiting import until

LEASE = timedelta(seconds=30)


class Worker(LeasedWorker[str]):
    """Claims from a list; each claim stays in progress until it is released."""

    def __init__(self, claims: Iterable[str], **options: Any) -> None:
        super().__init__(
            "test", self.claim, self.process, concurrency=2, lease=LEASE, idle=0.01, **options
        )
        self.claims = list(claims)
        self.started: list[str] = []
        self.released: dict[str, asyncio.Event] = {name: asyncio.Event() for name in self.claims}
        self.store_down = False
        self.finishing_with: set[str] | None = None

    async def claim(self, now: datetime, until: datetime, limit: int) -> list[str]:
        assert until == now + LEASE
        claims, self.claims = self.claims[:limit], self.claims[limit:]
        return claims

    async def process(self, claim: str) -> None:
        self.started.append(claim)
        await self.released[claim].wait()

    async def _before_claims(self) -> None:
        if self.store_down:
            raise ConnectionError("no primary")

    async def _before_finish(self) -> None:
        self.finishing_with = {name for name in self.started if not self.released[name].is_set()}


@asynccontextmanager
async def running(worker: Worker) -> AsyncIterator[asyncio.Event]:
    stopping = asyncio.Event()
    task = asyncio.create_task(worker.run(stopping))
    try:
        yield stopping
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.gen_test
async def test_finished_claim_makes_room_for_the_next_one() -> None:
    worker = Worker(["a", "b", "c"])
    async with running(worker):
        await until(lambda: worker.started == ["a", "b"])
        worker.released["b"].set()
        await until(lambda: worker.started == ["a", "b", "c"])


@pytest.mark.gen_test
async def test_batch_ends_before_the_next_claim() -> None:
    worker = Worker(["a", "b", "c"], in_batches=True)
    async with running(worker):
        await until(lambda: worker.started == ["a", "b"])
        worker.released["b"].set()
        for _ in range(20):
            worker.nudge()
            await asyncio.sleep(0)
        assert worker.started == ["a", "b"]
        worker.released["a"].set()
        await until(lambda: worker.started == ["a", "b", "c"])


@pytest.mark.gen_test
async def test_stop_runs_the_last_step_while_a_claim_is_still_in_progress() -> None:
    worker = Worker(["a"])
    async with running(worker) as stopping:
        await until(lambda: worker.started == ["a"])
        stopping.set()
        await until(lambda: worker.finishing_with == {"a"})


@pytest.mark.gen_test
async def test_failure_before_claims_is_an_outage_of_the_store_and_logged_once() -> None:
    worker = Worker(["a"])
    worker.store_down = True
    with capture_logs() as logs:
        async with running(worker):
            await until(lambda: logs)
            for _ in range(20):
                worker.nudge()
                await asyncio.sleep(0)
            worker.store_down = False
            await until(lambda: worker.started == ["a"])
    assert [entry["event"] for entry in logs] == ["worker_store_down", "worker_store_back"]
