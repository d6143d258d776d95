import asyncio

import pytest
from structlog.testing import capture_logs

from runtime import periodic as module
from runtime.periodic import PeriodicTasks


@pytest.mark.gen_test(timeout=20)
async def test_repeated_failure_is_logged_once_and_the_job_goes_on() -> None:
    outcomes = iter([ValueError("no"), ValueError("no"), None])
    done = asyncio.Event()

    async def work() -> None:
        failure = next(outcomes, None)
        if failure:
            raise failure
        done.set()

    tasks = PeriodicTasks()
    with capture_logs() as logs:
        tasks.every(0.001, "work", work)
        await done.wait()
        await tasks.stop()
    assert [entry["event"] for entry in logs][:1] == ["job_failed"]
    assert sum(entry["event"] == "job_failed" for entry in logs) == 1


@pytest.mark.gen_test(timeout=20)
async def test_failed_job_is_retried_after_its_retry_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A lease is renewed every third of its duration and must survive one failure."""
    pauses: list[float] = []
    outcomes = iter([None, ValueError("no"), ValueError("no"), None])
    tasks, done = PeriodicTasks(), asyncio.Event()

    async def work() -> None:
        failure = next(outcomes, None)
        if failure:
            raise failure

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 5:
            done.set()
        await asyncio.sleep(0)

    monkeypatch.setattr(tasks, "_pause", pause)
    tasks.every(5, "work", work, retry=1)
    await done.wait()
    await tasks.stop()
    assert pauses[:5] == [5, 1, 1, 5, 5]


@pytest.mark.gen_test(timeout=20)
async def test_stop_waits_for_the_running_job() -> None:
    started, finish, finished = asyncio.Event(), asyncio.Event(), []

    async def work() -> None:
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


@pytest.mark.gen_test(timeout=20)
async def test_task_that_suppresses_cancellation_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.01)
    started, cancellations = asyncio.Event(), 0

    async def stubborn(_stopping: asyncio.Event) -> None:
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
