import asyncio

import pytest
from structlog.testing import capture_logs

import rounds as module
from rounds import Rounds


@pytest.mark.gen_test(timeout=20)
async def test_a_round_that_fails_is_said_once_and_goes_on() -> None:
    outcomes = iter([ValueError("no"), ValueError("no"), None])
    done = asyncio.Event()

    async def work() -> None:
        failure = next(outcomes, None)
        if failure:
            raise failure
        done.set()

    rounds = Rounds()
    with capture_logs() as logs:
        rounds.every(0.001, "work", work)
        await done.wait()
        await rounds.stop()
    assert [entry["event"] for entry in logs][:1] == ["round_failed"]
    assert sum(entry["event"] == "round_failed" for entry in logs) == 1


@pytest.mark.gen_test(timeout=20)
async def test_stopping_lets_a_round_end_what_it_is_at() -> None:
    begun, let_go, ended = asyncio.Event(), asyncio.Event(), []

    async def work() -> None:
        begun.set()
        await let_go.wait()
        ended.append(True)

    rounds = Rounds()
    rounds.every(60, "work", work)
    await begun.wait()
    stop = asyncio.ensure_future(rounds.stop())
    await asyncio.sleep(0)
    let_go.set()
    await stop
    assert ended == [True]


@pytest.mark.gen_test(timeout=20)
async def test_a_round_that_outlives_a_cancellation_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.01)
    begun, cancellations = asyncio.Event(), 0

    async def stubborn(_stopping: asyncio.Event) -> None:
        nonlocal cancellations
        while cancellations < 3:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancellations += 1

    rounds = Rounds()
    rounds.until_stopped("stubborn", stubborn)
    await begun.wait()
    await rounds.stop()
    assert cancellations == 3
