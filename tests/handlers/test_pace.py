"""The pace of a user's or an address's requests of all classes."""

from typing import Any

import pytest

from config.sections import LimitsSettings
from core.limits import Rate
from handlers.limits import PATIENCE_SECONDS, RequestLimits
from telemetry.metrics import Metrics
from tests.support.api import BASE, ApiFixture

async_test = pytest.mark.gen_test(timeout=20)
BURST = 12
"""Requests that do not wait; the next one would for longer than requests do."""


@pytest.fixture
def changes() -> dict[str, Any]:
    classes = dict.fromkeys(("read", "room_change", "login"), "1000/1000")
    return {"limits": {"pace": f"0.001/{BURST}", **classes}}


@async_test
async def test_requests_over_the_pace_wait_and_too_many_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("handlers.limits.asyncio.sleep", sleep)
    monkeypatch.setattr("handlers.limits.time.monotonic", lambda: 100.0)
    limits = RequestLimits(LimitsSettings(pace=Rate(2, 3)), Metrics())
    waits = [await limits.wait_for_turn("read", "user", "a") for _ in range(14)]
    assert slept == [0.5 * n for n in range(1, 11)]
    assert slept[-1] == PATIENCE_SECONDS
    assert waits == [0] * 13 + [5.5]
    assert await limits.wait_for_turn("read", "user", "b") == 0


@async_test
async def test_requests_of_all_classes_share_the_pace_of_their_user(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.user("anna", 2)
    for _ in range(BURST // 2):
        assert (await anna.get("get_configs/")).status == 200
        assert (await anna.get("get_playurl/", live_id=host.live_id)).status == 200
    refused = await anna.get("get_configs/")
    assert refused.refusal == (429, "too_many")
    assert 900 < int(refused.headers["Retry-After"]) <= 1000
    assert (await host.get("get_configs/")).status == 200


@async_test
async def test_logins_share_the_pace_of_their_address(api: ApiFixture) -> None:
    body = {"appId": "wxca891295c56f2c79", "code": "bogus"}

    async def log_in(**headers: str) -> int:
        path = f"{BASE}qlive_user/login/"
        return (await api.request("POST", path, json=body, headers=headers)).status

    here = [await log_in() for _ in range(BURST + 1)]
    assert here == [401] * BURST + [429]
    assert await log_in(**{"X-Forwarded-For": "198.51.100.7"}) == 401
