"""The checks after a run can fail: lost and repeated operations, balances, rooms, logs."""

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from chaos.invariants import (
    ledger_violations,
    room_state_violations,
    wrong_balances,
    wrong_room_logs,
)
from chaos.program import unexpected_errors
from chaos.run import GOLD
from chaos.timeline import (
    Frame,
    Operation,
    Timeline,
    Timelines,
    duplicate_effects,
    gold_spent,
    lost_operations,
)
from tests.support.client import Reply
from tests.support.gifts import CANDY, give

NOW = 1_700_000_000.0


def event(seq: int, type_: str, after: float = 0.5, **data: Any) -> Frame:
    at = int((NOW + after) * 1000)
    return {"type": type_, "epoch": "a", "live_id": 1, "seq": seq, "ts": at, "data": data}


def gift(seq: int, request_id: str = "", giver: str = "2", gold: int = 5) -> Frame:
    from_, request_id = {"user_id": giver}, request_id or f"man-{seq}"
    return event(seq, "gift", request_id=request_id, gold=gold, **{"from": from_})


def timeline(*frames: Frame, epoch: str = "a") -> Timeline:
    return Timeline(1, epoch, {frame["seq"]: frame for frame in frames})


# ---- operations


GIVEN, APPLIED = (Operation(1, key, NOW, NOW + 1) for key in ("gift man-1", "micro_apply 2"))
EARLIER, IN_TIME = (event(n, "micro_apply", at, user_id="2") for n, at in ((0, -5), (1, 0.5)))


@pytest.mark.parametrize(
    ("operation", "events", "lost"),
    [
        (GIVEN, [gift(1)], 0),
        (GIVEN, [], 1),
        (GIVEN, [gift(2)], 1),
        (APPLIED, [EARLIER], 1),
        (APPLIED, [EARLIER, IN_TIME], 0),
        (replace(APPLIED, live_id=2), [IN_TIME], 1),
    ],
)
def test_an_operation_without_its_event_is_lost(
    operation: Operation, events: list[Frame], lost: int
) -> None:
    found = [*lost_operations([operation], [timeline(*events)])]
    assert [kind for kind, _ in found] == ["lost"] * lost


def test_a_duplicate_effect_is_found_across_live_sessions() -> None:
    applied = [event(seq, "micro_apply", user_id="2") for seq in (3, 4)]  # may be repeated
    sessions = [timeline(gift(1), gift(2), *applied), timeline(gift(1), epoch="b")]
    assert [*duplicate_effects(sessions)] == [("duplicate_effect", "gift man-1: 2 events")]
    assert gold_spent(sessions) == {"2": 15}


# ---- balances and stored events


class FakeRun:
    """One giver in one room, whose events 1 to 3 were delivered."""

    def __init__(self) -> None:
        self.timelines = Timelines()
        self.timelines.of(1, "a").events = {seq: gift(seq) for seq in (1, 2, 3)}
        self.api = self
        self.rooms = [SimpleNamespace(givers=[SimpleNamespace(name="giver", id="2")])]
        self.gold = GOLD - 15

    async def ops_request(self, _method: str, path: str) -> Reply:
        assert path == "users/2"
        return Reply(200, text=json.dumps({"gold": self.gold}))


def stored(frame: Frame) -> dict[str, Any]:
    return {name: frame[name] for name in ("seq", "ts", "type", "data")}


@pytest.fixture
def run() -> Any:
    return FakeRun()


async def test_a_balance_that_does_not_match_the_gifts_is_found(run: Any) -> None:
    assert await wrong_balances(run) == []
    for run.gold in (GOLD - 20, GOLD - 10):
        detail = f"giver: {run.gold} instead of {GOLD - 15}"
        assert await wrong_balances(run) == [("wrong_balance", detail)]


def test_a_stored_event_that_differs_from_the_delivered_one_is_found(run: Any) -> None:
    log = {str(seq): stored(gift(seq)) for seq in (2, 3, 4)}
    room = {"_id": 1, "epoch": "a", "log": log}
    assert [*wrong_room_logs(run, [room])] == []
    log["3"] = stored(gift(3, gold=6))
    assert [kind for kind, _ in wrong_room_logs(run, [room])] == ["conflicting_event"]


async def test_a_missing_gift_and_a_wrong_ledger_are_found(api: Any, server: Any) -> None:
    anna, bert = await api.user("anna", 2, gold=100), await api.user("bert", 1)
    (await give(anna, bert.id, CANDY, request_id="anna-1")).ok()
    database, operations = server.context.database, [Operation(1, "gift anna-1", 0, 0)]
    run: Any = SimpleNamespace(rooms=[SimpleNamespace(guests=[anna])], operations=operations)

    async def found() -> list[str]:
        return [kind async for kind, _ in ledger_violations(run, database)]

    assert await found() == []
    await database.collection("users").update_one({"_id": anna.id}, {"$inc": {"gold": 1}})
    operations.append(Operation(1, "gift anna-2", 0, 0))
    assert await found() == ["ledger_problem", "gift_lost"]


# ---- rooms

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
INVITED = {"applicants": [{**APPLICANT, "applied_at": None}], "num_list": [0, 2, 0, 1]}


@pytest.mark.parametrize(
    ("kinds", "changes"),
    [
        ([], {}),
        ([], INVITED),
        (["still_away"], {"status": "paused"}),
        (["still_away"], {"status": "ended"}),
        (["still_away"], {"owner": {**HOST, "away": True}}),
        (["still_away"], {"male": {**MAN, "away": True}}),
        (["stale_user"], {"male": {**MAN, "user_id": "9"}}),
        (["stale_user"], {"applicants": [{**APPLICANT, "user_id": "9"}]}),
        (["wrong_counts"], {"applicants": []}),
        (["wrong_counts"], {"audience_count": 5}),
        (["wrong_counts"], {"audience_count": 3}),
        (["wrong_counts"], {"num_list": [0, 3, 1, 1]}),
        (["wrong_counts"], {"num_list": [1, 2, 1, 1]}),
    ],
)
def test_stale_absent_and_miscounted_users_are_found(kinds: list[str], changes: Any) -> None:
    assert [kind for kind, _ in room_state_violations(ROOM, {**VALID, **changes})] == kinds


# ---- logs of the servers


def entry(**more: Any) -> str:
    return json.dumps({"event": "failed", "level": "warning", **more})


def with_traceback(exception: str) -> str:
    return entry(exception=f"Traceback (most recent call last):\n  File …\n{exception}")


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("QLive serves on http://127.0.0.1:1", []),
        (entry(error="AutoReconnect: a KeyError: it is not"), []),
        (entry(error=None), []),
        (entry(event="bus_disconnected", error="RuntimeError"), []),
        (entry(why="TryAgain: KeyError"), []),
        (with_traceback("pymongo.errors.AutoReconnect: connection closed"), []),
        (with_traceback("KeyError: 'seq'")[:-5], []),
        ('{"event": "failed", "le{"event": "listening"}', []),
        (with_traceback("KeyError: 'seq'"), ["failed: KeyError: 'seq'"]),
        ("Traceback (most recent call last):", ["Traceback (most recent call last):"]),
        (entry(error="KeyError: 'seq'"), ["failed: KeyError: 'seq'"]),
        (entry(error="RuntimeError"), ["failed: RuntimeError"]),
        (entry(error="TimeoutError", why="ZeroDivisionError"), ["failed: ZeroDivisionError"]),
    ],
)
def test_a_bug_is_found_in_a_log_and_an_expected_error_is_not(
    tmp_path: Any, line: str, found: list[str]
) -> None:
    log = tmp_path / "server.log"
    log.write_text("\n".join((entry(), line, entry())))
    assert list(unexpected_errors(log)) == found
