"""The pace of a user's or an address's requests of all classes."""

import asyncio
from typing import Any

import pytest

from config.sections import LimitsSettings
from core.errors import RateLimited
from core.limits import Rate, RefusalDelay
from handlers.admission import Admission
from handlers.limits import CONCURRENT_REQUESTS, PATIENCE_SECONDS, RequestLimits
from runtime.process import ServerProcess
from telemetry.metrics import Metrics
from tests.support.api import BASE, ApiClient, ApiFixture
from tests.support.waiting import until

async_test = pytest.mark.gen_test(timeout=20)
BURST = 20
"""Requests that do not wait; the next one would for longer than requests do."""


@pytest.fixture
def changes() -> dict[str, Any]:
    classes = dict.fromkeys(("read", "room_change", "gift", "login"), "1000/1000")
    return {"limits": {"pace": f"0.001/{BURST}", **classes}}


def test_requests_over_the_pace_have_later_turns_and_too_many_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("handlers.limits.time.monotonic", lambda: 100.0)
    limits = RequestLimits(LimitsSettings(pace=Rate(2, 3)), Metrics())
    waits = [limits.take_turn("user", "a") for _ in range(15)]
    assert waits == [0, 0, 0, *(0.5 * n for n in range(1, 11)), 5.5, 5.5]
    assert waits[-3] == PATIENCE_SECONDS
    assert limits.take_turn("user", "b") == 0


@async_test
async def test_user_banned_while_a_request_waits_is_refused(
    api: ApiFixture, db: Any, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, anna = await api.host(), await api.user("anna", 2)

    def ban(*_: str) -> float:
        db.users.update_one({"_id": anna.id}, {"$set": {"banned": True}})
        return 0.01

    monkeypatch.setattr(server.context.request_limits, "take_turn", ban)
    reply = await anna.post("qlive_room/apply_micro/", live_id=host.live_id)
    assert reply.refusal == (403, "banned")


@async_test
async def test_request_beyond_those_in_progress_waits_and_its_user_is_read_afterwards(
    api: ApiFixture, db: Any, server: ServerProcess
) -> None:
    host, anna = await api.host(), await api.user("anna", 2)
    in_progress = server.context.request_limits.in_progress
    assert all(in_progress.take(anna.id) for _ in range(CONCURRENT_REQUESTS))
    apply = asyncio.ensure_future(anna.post("qlive_room/apply_micro/", live_id=host.live_id))
    reads = [asyncio.ensure_future(anna.get("get_configs/")) for _ in range(2)]
    await until(lambda: in_progress.waiting(anna.id) == 3)
    assert (await host.get("get_configs/")).status == 200
    assert not apply.done()
    db.users.update_one({"_id": anna.id}, {"$set": {"banned": True}})
    in_progress.release(anna.id)
    assert (await apply).refusal == (403, "banned")
    assert {(await read).status for read in reads} == {403}


@async_test
async def test_refused_requests_leave_their_slots(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    refused = [
        (await anna.post("qlive_room/apply_micro/", live_id=live_id)).status
        for live_id in (1, "x", 1)
    ]
    assert refused == [404, 400, 404]
    assert len(refused) > CONCURRENT_REQUESTS
    assert (await anna.get("get_configs/")).status == 200


@async_test
async def test_logout_that_waited_is_not_carried_out_again(
    api: ApiFixture, server: ServerProcess
) -> None:
    host, anna = await api.host(), await api.user("anna", 2)
    in_progress = server.context.request_limits.in_progress
    assert all(in_progress.take(anna.id) for _ in range(CONCURRENT_REQUESTS))
    logouts = [asyncio.ensure_future(anna.get("qlive_user/logout/")) for _ in range(2)]
    await until(lambda: in_progress.waiting(anna.id) == 2)
    in_progress.release(anna.id)
    await asyncio.wait(logouts, return_when=asyncio.FIRST_COMPLETED)
    anna = await api.guest("anna", 2, host.live_id)
    in_progress.release(anna.id)
    assert {(await logout).status for logout in logouts} == {200}
    assert (await anna.get("get_playurl/", live_id=host.live_id)).status == 200
    assert await server.context.stores.members.get(anna.id), "still in the room"


@async_test
async def test_refusal_for_the_pace_gives_the_token_of_the_address_back(
    api: ApiFixture, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = await api.user("anna", 2)
    given_back: list[tuple[str, str]] = []
    limits = server.context.request_limits
    monkeypatch.setattr(limits, "give_back", lambda *what: given_back.append(what))
    for _ in range(BURST):
        await anna.get("get_configs/")
    assert not given_back
    refused = await anna.get("get_configs/")
    assert refused.status == 429
    assert given_back == [("read", "127.0.0.1")]


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

    here = [await log_in() for _ in range(6)]
    assert here == [401, 401, 401, 401, 429, 429], "a refused one costs six turns"
    assert await log_in(**{"X-Forwarded-For": "198.51.100.7"}) == 401


async def statuses(user: ApiClient, path: str, requests: int, **params: object) -> list[int]:
    return [(await user.get(path, **params)).status for _ in range(requests)]


@async_test
async def test_errors_cost_six_turns(api: ApiFixture) -> None:
    host, anna, bert = await api.host(), await api.user("anna", 2), await api.user("bert", 1)
    assert await statuses(anna, "qlive_user/get_userinfo/", 3, user_id="00000001") == [404] * 3
    assert await statuses(anna, "get_configs/", 3) == [200, 200, 429]
    # The contract answers this error with 200.
    gift = {"user_id": host.id, "gift_id": 1, "num": 1}
    assert await statuses(bert, "qlive_gift/push_gift/", 3, **gift) == [200] * 3
    assert await statuses(bert, "get_configs/", 3) == [200, 200, 429]


@async_test
async def test_requests_over_a_limit_cost_turns(api: ApiFixture, server: ServerProcess) -> None:
    anna = await api.user("anna", 2)
    settings = LimitsSettings(read=Rate(0.001, 1), pace=Rate(0.001, BURST))
    server.context.request_limits = RequestLimits(settings, Metrics())
    assert await statuses(anna, "get_configs/", 4) == [200, 429, 429, 429]
    assert await statuses(anna, "get_playurl/", 1, live_id=1) == [404]
    assert server.context.request_limits.take_turn("user", anna.id) > PATIENCE_SECONDS


@async_test
async def test_requests_with_an_unknown_token_leave_the_turns_of_their_address(
    api: ApiFixture,
) -> None:
    stranger = await api.user("anna", 2)
    stranger.token = "0" * 40
    assert await statuses(stranger, "get_configs/", BURST) == [401] * BURST
    await api.user("bert", 1)


async def login_refused(limits: RequestLimits) -> bool:
    """Whether the address may not log in now."""
    admission = Admission(limits, RefusalDelay(0, 1))
    try:
        admission.limit_address("login", "198.51.100.7")
        await admission.wait_for_address()
    except RateLimited as error:
        await admission.slow_down(error)
        return True
    return False


@async_test
async def test_phones_over_the_limit_of_their_address_cost_it_no_turns() -> None:
    settings = LimitsSettings(login=Rate(0.001, 2), pace=Rate(0.001, BURST))
    limits = RequestLimits(settings, Metrics())
    assert [await login_refused(limits) for _ in range(4)] == [False, False, True, True]
    assert [limits.take_turn("address", "198.51.100.7") for _ in range(BURST - 2)] == [0] * 18


@async_test
async def test_login_without_a_turn_takes_no_token_of_its_address() -> None:
    limits = RequestLimits(LimitsSettings(login=Rate(0.001, 2), pace=Rate(0.001, 1)), Metrics())
    assert [await login_refused(limits) for _ in range(4)] == [False, True, True, True]
    assert limits.take_from_address("login", "198.51.100.7") == 0


@async_test
async def test_refusals_of_a_process_that_drains_are_not_held() -> None:
    limits = RequestLimits(LimitsSettings(login=Rate(0.001, 1), pace=Rate(0, 0)), Metrics())
    admission = Admission(limits, RefusalDelay(3600, 1))
    admission.limit_address("login", "198.51.100.7")
    with pytest.raises(RateLimited) as refused:
        admission.limit_address("login", "198.51.100.7")
    await admission.slow_down(refused.value, hold=False)
