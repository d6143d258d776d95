"""Invariants that need a database or a server, over a fake one."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from chaos.invariants import (
    _check_room_logs,
    _wrong_balances,
    check_ledger,
    room_state_violations,
)
from chaos.operations import Operation
from chaos.run import GOLD
from chaos.timeline import Frame, Timelines
from chaos.violations import Violations
from runtime.process import ServerProcess
from tests.support.api import ApiFixture
from tests.support.client import Reply
from tests.support.gifts import CANDY, give


def event(seq: int, gold: int = 5) -> Frame:
    gift = {"from": {"user_id": "2"}, "gold": gold, "request_id": str(seq)}
    return {"type": "gift", "epoch": "a", "live_id": 1, "seq": seq, "ts": 9, "data": gift}


def stored(frame: Frame) -> dict[str, Any]:
    return {name: frame[name] for name in ("seq", "ts", "type", "data")}


class FakeRun:
    """One giver in one room, whose events 1 to 3 were delivered."""

    def __init__(self) -> None:
        self.violations, self.timelines = Violations(), Timelines()
        self.fleet = SimpleNamespace(database="qlive", mongodb=SimpleNamespace(uri=""))
        self.api = self
        self.rooms = [SimpleNamespace(guests=[SimpleNamespace(name="giver", id="2")])]
        self.gold = GOLD - 15
        self.log = [stored(event(seq)) for seq in (2, 3, 4)]
        self.timelines.of(1, "a").events = {seq: event(seq) for seq in (1, 2, 3)}

    async def ops_request(self, _method: str, path: str) -> Reply:
        assert path == "users/2"
        return Reply(200, text=json.dumps({"gold": self.gold}))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    run = FakeRun()

    async def room_logs(*_: str) -> Any:
        return {(1, "a"): run.log}

    monkeypatch.setattr("chaos.invariants.room_logs", room_logs)
    return run


async def test_a_balance_reduced_by_the_delivered_gifts_passes(run: Any) -> None:
    assert await _wrong_balances(run) == []


@pytest.mark.parametrize("gold", [GOLD - 20, GOLD - 10])
async def test_a_balance_that_does_not_match_the_gifts_is_found(run: Any, gold: int) -> None:
    run.gold = gold
    words = f"giver: {gold} instead of {GOLD - 15}"
    assert await _wrong_balances(run) == [("wrong_balance", words)]


async def test_stored_events_equal_to_the_delivered_ones_pass(run: Any) -> None:
    await _check_room_logs(run)
    assert not run.violations


async def test_a_stored_event_that_differs_from_the_delivered_one_is_found(run: Any) -> None:
    run.log[1] = stored(event(3, gold=6))
    await _check_room_logs(run)
    assert dict(run.violations.counts) == {"conflicting_event": 1}


async def test_a_missing_gift_and_a_wrong_balance_are_found(
    api: ApiFixture, server: ServerProcess, mongo_uri: str
) -> None:
    anna, bert = await api.user("anna", 2, gold=100), await api.user("bert", 1)
    (await give(anna, bert.id, CANDY, request_id="anna-1")).ok()
    fleet = SimpleNamespace(
        mongodb=SimpleNamespace(uri=mongo_uri), database=server.settings.mongodb.database
    )
    room = SimpleNamespace(guests=[anna], operations=[Operation(1, "gift anna-1", 0, 0)])
    run: Any = SimpleNamespace(fleet=fleet, rooms=[room], violations=Violations())
    await check_ledger(run)
    assert not run.violations
    users = server.context.database.collection("users")
    await users.update_one({"_id": anna.id}, {"$inc": {"gold": 1}})
    room.operations.append(Operation(1, "gift anna-2", 0, 0))
    await check_ledger(run)
    assert run.violations.counts == {"ledger_problem": 1, "gift_lost": 1}


HOST = {"user_id": "1", "gender": 2, "away": False}
MAN = {"user_id": "2", "gender": 1, "away": False}
APPLICANT = {"user_id": "3", "gender": 2, "applied_at": 1}
ROOM: Any = SimpleNamespace(
    live_id=7,
    host=SimpleNamespace(id="1", gender=2),
    guests=[SimpleNamespace(id=str(n), gender=1 + n % 2) for n in (2, 3, 4)],
)
VALID: dict[str, Any] = {
    "status": "live",
    "owner": HOST,
    "male": MAN,
    "female": None,
    "applicants": [APPLICANT],
    "audience_count": 4,
    "num_list": [0, 2, 1, 1],
}


def found(**changes: Any) -> list[str]:
    return [kind for kind, _ in room_state_violations(ROOM, {**VALID, **changes})]


def test_a_room_with_all_members_present_is_valid() -> None:
    assert found() == []
    invited = {**APPLICANT, "applied_at": None}
    assert found(applicants=[invited], num_list=[0, 2, 0, 1]) == []


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({"status": "paused"}, ["still_away"]),
        ({"status": "ended"}, ["still_away"]),
        ({"owner": {**HOST, "away": True}}, ["still_away"]),
        ({"male": {**MAN, "away": True}}, ["still_away"]),
        ({"male": {**MAN, "user_id": "9"}}, ["stale_user"]),
        ({"applicants": [{**APPLICANT, "user_id": "9"}]}, ["stale_user"]),
        ({"applicants": []}, ["wrong_counts"]),
        ({"audience_count": 5}, ["wrong_counts"]),
        ({"audience_count": 3}, ["wrong_counts"]),
        ({"num_list": [0, 3, 1, 1]}, ["wrong_counts"]),
        ({"num_list": [1, 2, 1, 1]}, ["wrong_counts"]),
    ],
)
def test_stale_absent_and_miscounted_users_are_found(
    changes: dict[str, Any], kinds: list[str]
) -> None:
    assert found(**changes) == kinds
