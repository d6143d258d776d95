"""The pace of a user's or an address's requests of all classes."""

import asyncio
from typing import Any

import pytest

from config.sections import LimitsSettings
from core.limits import Rate
from handlers.limits import CONCURRENT_REQUESTS, PATIENCE_SECONDS, RequestLimits
from runtime.process import ServerProcess
from telemetry.metrics import Metrics
from tests.support.api import BASE, ApiFixture
from tests.support.waiting import until

async_test = pytest.mark.gen_test(timeout=20)
BURST = 12
"""Requests that do not wait; the next one would for longer than requests do."""


@pytest.fixture
def changes() -> dict[str, Any]:
    classes = dict.fromkeys(("read", "room_change", "login"), "1000/1000")
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
    slots = server.context.request_limits.in_progress.of(anna.id)
    for _ in range(CONCURRENT_REQUESTS):
        await slots.acquire()
    apply = asyncio.ensure_future(anna.post("qlive_room/apply_micro/", live_id=host.live_id))
    reads = [asyncio.ensure_future(anna.get("get_configs/")) for _ in range(2)]
    await until(lambda: slots.waiting == 3)
    assert (await host.get("get_configs/")).status == 200
    assert not apply.done()
    db.users.update_one({"_id": anna.id}, {"$set": {"banned": True}})
    slots.release()
    assert (await apply).refusal == (403, "banned")
    assert {(await read).status for read in reads} == {403}


@async_test
async def test_refused_requests_leave_their_slots(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    for _ in range(CONCURRENT_REQUESTS + 1):
        assert (await anna.post("qlive_room/apply_micro/", live_id=1)).status == 404
        assert (await anna.post("qlive_room/apply_micro/", live_id="x")).status == 400
    assert (await anna.get("get_configs/")).status == 200


@async_test
async def test_logout_that_waited_is_not_carried_out_again(
    api: ApiFixture, server: ServerProcess
) -> None:
    host, anna = await api.host(), await api.user("anna", 2)
    slots = server.context.request_limits.in_progress.of(anna.id)
    for _ in range(CONCURRENT_REQUESTS):
        await slots.acquire()
    logouts = [asyncio.ensure_future(anna.get("qlive_user/logout/")) for _ in range(2)]
    await until(lambda: slots.waiting == 2)
    slots.release()
    await asyncio.wait(logouts, return_when=asyncio.FIRST_COMPLETED)
    anna = await api.guest("anna", 2, host.live_id)
    slots.release()
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

    here = [await log_in() for _ in range(BURST + 1)]
    assert here == [401] * BURST + [429]
    assert await log_in(**{"X-Forwarded-For": "198.51.100.7"}) == 401


@async_test
async def test_guesses_cost_more_than_reads(api: ApiFixture, server: ServerProcess) -> None:
    anna = await api.user("anna", 2)
    limits = RequestLimits(LimitsSettings(read=Rate(0.001, 10)), Metrics())
    server.context.request_limits = limits
    guesses = [
        (await anna.get("qlive_user/get_userinfo/", user_id=f"{n:08}")).status for n in range(4)
    ]
    assert guesses == [404, 404, 429, 429]


@async_test
async def test_gifts_without_gold_cost_more_than_gifts(
    api: ApiFixture, server: ServerProcess
) -> None:
    host, anna = await api.host(), await api.user("anna", 2)
    limits = RequestLimits(LimitsSettings(gift=Rate(0.001, 10)), Metrics())
    server.context.request_limits = limits
    gift = {"user_id": host.id, "gift_id": 1, "num": 1}
    replies = [await anna.get("qlive_gift/push_gift/", **gift) for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert replies[0].ok()["code"] == "insufficient_gold"
