"""Jobs that process claims, and the loop that they share."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from structlog.testing import capture_logs

from core.errors import TryAgain
from services.jobs.claimed_jobs import ClaimedJob, JobRunner
from storage.errors import StorageUnavailable
from tests.support.waiting import until


class Job(ClaimedJob[str]):
    """Claims from a list; each claim stays in progress until it is released."""

    def __init__(self, claims: Iterable[str], **options: Any) -> None:
        options = {"concurrency": 2, "idle": 0.01, **options}
        super().__init__("test", self.claim, self.process, **options)
        self.claims = list(claims)
        self.started: list[str] = []
        self.released: dict[str, asyncio.Event] = {name: asyncio.Event() for name in self.claims}
        self.store_down = False
        self.finishing_with: set[str] | None = None

    async def claim(self, limit: int) -> list[str]:
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
async def running(*jobs: Job) -> AsyncIterator[asyncio.Event]:
    stopping = asyncio.Event()
    task = asyncio.create_task(JobRunner(*jobs).run(stopping))
    try:
        yield stopping
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_finished_claim_makes_room_for_the_next_one() -> None:
    job = Job(["a", "b", "c"], idle=3600)
    async with running(job):
        await until(lambda: job.started == ["a", "b"])
        job.released["b"].set()
        await until(lambda: job.started == ["a", "b", "c"])


async def test_batch_ends_before_the_next_claim() -> None:
    job = Job(["a", "b", "c"], idle=3600, in_batches=True)
    async with running(job):
        await until(lambda: job.started == ["a", "b"])
        job.released["b"].set()
        for _ in range(20):
            job.wake()
            await asyncio.sleep(0)
        assert job.started == ["a", "b"]
        job.released["a"].set()
        await until(lambda: job.started == ["a", "b", "c"])


async def test_stop_runs_the_last_step_while_a_claim_is_still_in_progress() -> None:
    job = Job(["a"])
    async with running(job) as stopping:
        await until(lambda: job.started == ["a"])
        stopping.set()
        await until(lambda: job.finishing_with == {"a"})


class SlowToEnd(Job):
    """Its claims end a while after they are cancelled, as a transaction is aborted first."""

    ended = False

    async def process(self, claim: str) -> None:
        try:
            await super().process(claim)
        finally:
            self.ended = True
            await self.released["end"].wait()


async def test_stop_cancels_the_claims_of_all_jobs_even_if_it_is_cancelled_again() -> None:
    jobs = [SlowToEnd(["a"]), SlowToEnd(["a"])]
    for job in jobs:
        job.released["end"] = asyncio.Event()
    runner = asyncio.create_task(JobRunner(*jobs).run(asyncio.Event()))
    await until(lambda: all(job.started for job in jobs))
    runner.cancel()
    await until(lambda: jobs[0].ended)
    runner.cancel()
    await asyncio.wait([runner])
    assert [job.ended for job in jobs] == [True, True]


async def test_failure_before_claims_is_an_outage_of_the_store_and_logged_once() -> None:
    job = Job(["a"])
    job.store_down = True
    with capture_logs() as logs:
        async with running(job):
            await until(lambda: logs)
            job.store_down = False
            await until(lambda: job.started == ["a"])
    assert [entry["event"] for entry in logs] == ["job_store_down", "job_store_back"]


async def test_wake_during_an_outage_causes_no_poll() -> None:
    job = Job([], idle=3600)
    job.store_down = True
    with capture_logs() as logs:
        async with running(job):
            await until(lambda: logs)
            next_poll = job.poll_at
            job.wake()
            assert job.poll_at == next_poll


async def test_job_whose_claims_take_long_delays_no_other_job() -> None:
    stuck, other = Job("abc"), Job(["other"])
    async with running(stuck, other):
        await until(lambda: stuck.started == ["a", "b"])
        await until(lambda: other.started == ["other"])
        other.released["other"].set()
        other.claims, other.released["next"] = ["next"], asyncio.Event()
        other.wake()
        await until(lambda: other.started == ["other", "next"])


async def test_unexpected_error_is_logged_and_the_next_claim_is_processed() -> None:
    job = Job(["a", "b"], concurrency=1)
    del job.released["a"]
    with capture_logs() as logs:
        async with running(job):
            await until(lambda: job.started == ["a", "b"])
    assert [(entry["event"], entry["job"]) for entry in logs] == [("claim_failed", "test")]


async def test_contention_is_no_bug_and_an_outage_during_a_claim_is_one_of_the_store() -> None:
    class Unlucky(Job):
        async def process(self, claim: str) -> None:
            raise TryAgain if claim == "a" else StorageUnavailable

    with capture_logs() as logs:
        async with running(Unlucky("ab", idle=3600)):
            await until(lambda: len(logs) == 2)
    assert [entry["event"] for entry in logs] == ["claim_deferred", "job_store_down"]
