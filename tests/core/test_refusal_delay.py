import asyncio

import pytest

from core.limits import MAX_REFUSAL_TURN, Rate, RefusalDelay

async_test = pytest.mark.gen_test(timeout=20)


@async_test
async def test_a_refused_request_waits_unless_too_many_do() -> None:
    delay = RefusalDelay(3600, most=2)
    held = [asyncio.ensure_future(delay.hold(user)) for user in ("anna", "bert")]
    await asyncio.sleep(0)
    await delay.hold("carl")
    assert not any(task.done() for task in held)
    held[0].cancel()
    await asyncio.wait([held[0]])
    held.append(asyncio.ensure_future(delay.hold("anna")))
    await asyncio.sleep(0)
    assert not held[2].done(), "there was room for one more"
    for task in held:
        task.cancel()
    await asyncio.wait(held)


@async_test
async def test_one_address_takes_half_of_the_places_at_most() -> None:
    delay = RefusalDelay(3600, most=4)
    held = [asyncio.ensure_future(delay.hold("flood")) for _ in range(2)]
    await asyncio.sleep(0)
    await delay.hold("flood")
    held.append(asyncio.ensure_future(delay.hold("anna")))
    await asyncio.sleep(0)
    assert not any(task.done() for task in held)
    for task in held:
        task.cancel()
    await asyncio.wait(held)
    held = [asyncio.ensure_future(delay.hold("flood"))]
    await asyncio.sleep(0)
    assert not held[0].done(), "its places are free again"
    held[0].cancel()
    await asyncio.wait(held)


def recorded_sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of every sleep, which ends at once; no time passes."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("core.limits.asyncio.sleep", sleep)
    monkeypatch.setattr("core.limits.time.monotonic", lambda: 100.0)
    return slept


@async_test
async def test_requests_refused_together_do_not_come_back_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept = recorded_sleeps(monkeypatch)
    delay = RefusalDelay(2, most=1)
    for _ in range(20):
        await delay.hold("anna")
    assert len(set(slept)) == 20
    assert all(1 <= seconds <= 3 for seconds in slept)


@async_test
async def test_refusals_of_one_key_that_go_on_wait_for_one_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept = recorded_sleeps(monkeypatch)
    delay = RefusalDelay(0, most=1, repeated=Rate(2, 3))
    for _ in range(30):
        await delay.hold("anna")
    await delay.hold("bert")
    assert slept[:6] == pytest.approx([0, 0, 0, 0.5, 1.0, 1.5])
    assert max(slept) == slept[29] == MAX_REFUSAL_TURN
    assert slept[30] == 0, "bert does not wait for anna"
