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
async def test_a_round_that_fails_is_tried_again_as_soon_as_it_is_said_to_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A lease that is renewed every third of its time must not lapse by one failure."""
    pauses: list[float] = []
    outcomes = iter([None, ValueError("no"), ValueError("no"), None])
    rounds, done = Rounds(), asyncio.Event()

    async def work() -> None:
        failure = next(outcomes, None)
        if failure:
            raise failure

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 5:
            done.set()
        await asyncio.sleep(0)

    monkeypatch.setattr(rounds, "_pause", pause)
    rounds.every(5, "work", work, retry=1)
    await done.wait()
    await rounds.stop()
    assert pauses[:5] == [5, 1, 1, 5, 5]


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
