import asyncio
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from runtime import jobs as module
from runtime.jobs import PeriodicTasks, run_all


async def test_failed_job_is_logged_once_and_retried_after_its_retry_interval(monkeypatch):
    """A lease is renewed every third of its duration and must survive one failure."""
    pauses = []
    outcomes = iter([None, ValueError("no"), ValueError("no"), None])
    tasks, done = PeriodicTasks(), asyncio.Event()

    async def work():
        if failure := next(outcomes, None):
            raise failure

    def timeout(seconds):
        pauses.append(seconds)
        if len(pauses) == 5:
            done.set()
        return asyncio.timeout(0)

    monkeypatch.setattr(module, "asyncio", SimpleNamespace(**vars(asyncio) | {"timeout": timeout}))
    with capture_logs() as logs:
        tasks.every(5, "work", work, retry=1)
        await done.wait()
        await tasks.stop()
    assert pauses[:5] == [5, 1, 1, 5, 5]
    assert [entry["event"] for entry in logs].count("job_failed") == 1


async def test_a_failure_delays_none_of_the_others():
    done = []

    async def fail():
        raise ValueError("no")

    async def work():
        await asyncio.sleep(0)
        done.append(True)

    with pytest.raises(ValueError, match="no"):
        await run_all(fail(), work())
    assert done == [True]


async def test_stop_waits_for_the_running_job():
    started, finish, finished = asyncio.Event(), asyncio.Event(), []

    async def work():
        started.set()
        await finish.wait()
        finished.append(True)

    tasks = PeriodicTasks()
    tasks.every(60, "work", work)
    await started.wait()
    stop = asyncio.ensure_future(tasks.stop())
    await asyncio.sleep(0)
    finish.set()
    await stop
    assert finished == [True]


async def test_task_that_suppresses_cancellation_is_cancelled_again(monkeypatch):
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.01)
    started, cancellations = asyncio.Event(), 0

    async def stubborn(_stopping):
        nonlocal cancellations
        while cancellations < 3:
            started.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancellations += 1

    tasks = PeriodicTasks()
    tasks.until_stopped("stubborn", stubborn)
    await started.wait()
    await tasks.stop()
    assert cancellations == 3
