import asyncio
from typing import cast

import pytest

from handlers import owners as module
from handlers.owners import Owners
from handlers.routes import CONTRACT
from realtime.bus import LocalBus, Revoked
from server import Server
from storage.tokens import Tokens, token_id
from tests.phones import Street

gen_test = pytest.mark.gen_test(timeout=10)


class Stored:
    """The tokens as the database has them."""

    def __init__(self) -> None:
        self.owners = {"a": "10000001"}
        self.asked = 0
        self.meanwhile = asyncio.Event()
        self.meanwhile.set()

    async def owner(self, token: str) -> str | None:
        self.asked += 1
        found = self.owners.get(token)
        await self.meanwhile.wait()
        return found


class Case:
    def __init__(self) -> None:
        self.stored, self.bus = Stored(), LocalBus()
        self.owners = Owners(cast("Tokens", self.stored), self.bus)

    def revoke(self, token: str) -> None:
        del self.stored.owners[token]
        self.bus.publish(Revoked(token_id(token)))


@gen_test
async def test_a_token_that_is_known_is_not_asked_for_again() -> None:
    case = Case()
    assert [await case.owners.owner("a") for _ in range(3)] == ["10000001"] * 3
    assert case.stored.asked == 1


@gen_test
async def test_a_token_that_was_given_back_opens_nothing_from_then_on() -> None:
    case = Case()
    await case.owners.owner("a")
    case.revoke("a")
    assert await case.owners.owner("a") is None


@gen_test
async def test_a_token_that_is_given_back_while_it_is_read_is_not_kept() -> None:
    case = Case()
    case.stored.meanwhile.clear()
    reading = asyncio.ensure_future(case.owners.owner("a"))
    await asyncio.sleep(0)
    case.revoke("a")
    case.stored.meanwhile.set()
    assert await reading == "10000001", "it was read before"
    assert await case.owners.owner("a") is None


@gen_test
async def test_what_nobody_has_is_asked_for_each_time() -> None:
    case = Case()
    assert await case.owners.owner("b") is None
    case.stored.owners["b"] = "10000002"
    assert await case.owners.owner("b") == "10000002"


@gen_test
async def test_nothing_is_known_once_the_bus_may_have_missed_a_word() -> None:
    case = Case()
    await case.owners.owner("a")
    case.bus.gaps += 1
    await case.owners.owner("a")
    assert case.stored.asked == 2
    await case.owners.owner("a")
    assert case.stored.asked == 2


@gen_test
async def test_nothing_is_kept_while_the_bus_is_down() -> None:
    case = Case()
    await case.owners.owner("a")
    case.bus.healthy = False
    for _ in range(2):
        await case.owners.owner("a")
    assert case.stored.asked == 3
    case.bus.healthy = True
    await case.owners.owner("a")
    assert case.stored.asked == 4


@gen_test
async def test_nothing_is_known_for_longer_than_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OLD_SECONDS", 0.0)
    case = Case()
    for _ in range(2):
        await case.owners.owner("a")
    assert case.stored.asked == 2


@gen_test
async def test_no_more_tokens_are_kept_than_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    case = Case()
    case.stored.owners = {name: name for name in "abc"}
    for name in "abc":
        await case.owners.owner(name)
    assert len(case.owners._owners) == 1


@pytest.mark.gen_test(timeout=20)
async def test_calls_that_only_read_refuse_whoever_has_logged_out_or_was_banned(
    street: Street,
) -> None:
    anna, bert = await street.person("anna", 2), await street.person("bert", 1)
    for phone in (anna, bert):
        (await phone.get("get_livelist/")).ok()
    (await anna.get("qlive_user/logout/")).ok()
    (await street.ops("PATCH", f"users/{bert.id}", banned=True, ban_reason="x")).ok()
    assert (await anna.get("get_livelist/")).refusal == (401, "token")
    assert (await anna.get("qlive_user/get_userinfo/")).refusal == (401, "token")
    assert (await bert.get("get_livelist/")).refusal == (403, "banned")


@pytest.mark.gen_test(timeout=20)
async def test_a_call_that_changes_something_asks_the_database(
    street: Street, server: Server
) -> None:
    """A word that the bus has lost lets nobody do anything."""
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    (await anna.get("get_livelist/")).ok()
    await server.parts.tokens.revoke(anna.token)
    (await anna.get("get_livelist/")).ok()
    applied = await anna.post("qlive_room/apply_micro/", live_id=host.live_id)
    assert applied.refusal == (401, "token")


def test_only_these_calls_may_know_already_whose_a_token_is() -> None:
    known = {path for path, handler in CONTRACT if getattr(handler, "only_reads", False)}
    assert known == {
        "qlive_user/get_userinfo/",
        "qlive_user/get_user_state/",
        "qlive_user/get_users_info/",
        "get_livelist/",
        "get_configs/",
        "qlive_gift/",
        "qlive_room/rank/",
        "qlive_room/day_rank/",
    }
