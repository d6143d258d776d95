"""Invariants that need a database or a server, over a fake one."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from chaos.invariants import _check_room_logs, _wrong_balances
from chaos.run import GOLD
from chaos.timeline import Frame, Timelines
from chaos.violations import Violations
from tests.support.client import Reply

invariant_test = pytest.mark.gen_test


def event(seq: int, gold: int = 5) -> Frame:
    gift = {"from": {"user_id": "2"}, "gold": gold, "request_id": str(seq)}
    return {"type": "gift", "epoch": "a", "live_id": 1, "seq": seq, "ts": 9, "data": gift}


def stored(frame: Frame) -> dict[str, Any]:
    return {name: frame[name] for name in ("seq", "ts", "type", "data")}


class FakeRun:
    """One giver in one room, whose events 1 to 3 were delivered."""

    def __init__(self) -> None:
        self.violations, self.timelines = Violations(), Timelines()
        self.fleet = SimpleNamespace(database="qlive", mongodb=self)
        self.api = self
        self.rooms = [SimpleNamespace(guests=[SimpleNamespace(name="giver", id="2")])]
        self.gold = GOLD - 15
        self.gold_received = GOLD
        self.log = [stored(event(seq)) for seq in (2, 3, 4)]
        self.timelines.of(1, "a").events = {seq: event(seq) for seq in (1, 2, 3)}

    async def room_logs(self, _database: str) -> dict[tuple[int, str], list[dict[str, Any]]]:
        return {(1, "a"): self.log}

    async def ops_request(self, _method: str, path: str) -> Reply:
        assert path == "users/2"
        return Reply(200, text=json.dumps({"gold": self.gold}))


@pytest.fixture
def run() -> Any:
    return FakeRun()


@invariant_test
async def test_a_balance_reduced_by_the_delivered_gifts_passes(run: Any) -> None:
    assert await _wrong_balances(run) == []


@invariant_test
@pytest.mark.parametrize("gold", [GOLD - 20, GOLD - 10])
async def test_a_balance_that_does_not_match_the_gifts_is_found(run: Any, gold: int) -> None:
    run.gold = gold
    words = f"giver: {gold} instead of {GOLD - 15}"
    assert await _wrong_balances(run) == [("wrong_balance", words)]


@invariant_test
async def test_stored_events_equal_to_the_delivered_ones_pass(run: Any) -> None:
    await _check_room_logs(run)
    assert not run.violations


@invariant_test
async def test_a_stored_event_that_differs_from_the_delivered_one_is_found(run: Any) -> None:
    run.log[1] = stored(event(3, gold=6))
    await _check_room_logs(run)
    assert dict(run.violations.counts) == {"conflicting_event": 1}
