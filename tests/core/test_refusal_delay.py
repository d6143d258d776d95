import asyncio

import pytest

from core.limits import RefusalDelay

async_test = pytest.mark.gen_test(timeout=20)


@async_test
async def test_a_refused_request_waits_unless_too_many_do() -> None:
    delay = RefusalDelay(3600, most=2)
    held = [asyncio.ensure_future(delay.hold()) for _ in range(2)]
    await asyncio.sleep(0)
    await delay.hold()
    assert not any(task.done() for task in held)
    held[0].cancel()
    await asyncio.wait([held[0]])
    held.append(asyncio.ensure_future(delay.hold()))
    await asyncio.sleep(0)
    assert not held[2].done(), "there was room for one more"
    for task in held:
        task.cancel()
    await asyncio.wait(held)


@async_test
async def test_requests_refused_together_do_not_come_back_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("core.limits.asyncio.sleep", sleep)
    delay = RefusalDelay(2, most=1)
    for _ in range(20):
        await delay.hold()
    assert len(set(slept)) == 20
    assert all(1 <= seconds <= 3 for seconds in slept)
