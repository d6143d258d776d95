"""Failovers and killed servers over real processes, at a small size.

Asserts guarantees, never durations.
"""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chaos import replica_set
from chaos.room_load import RoomLoad
from chaos.scenario import RunConfig
from chaos.scenarios import failover
from chaos.senders import Acknowledged, Sender, longest_gap
from chaos.violations import Violations
from tests.support.client import Reply
from tests.support.paths import ROOT

SMALL = replace(failover.SIZE, clients=8, rooms=1)
NO_LIMIT = 1e9
OBSERVED_SECONDS = 6.0
"""Enough for a room to take changes again."""


@pytest.mark.programs
@pytest.mark.linux
@pytest.mark.usefixtures("file_limit")
@pytest.mark.gen_test(timeout=200)
async def test_failover_loses_no_gift_and_refuses_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failover, "GOALS", {"step_down": NO_LIMIT})
    monkeypatch.setattr(failover, "BEFORE_SECONDS", 0.5)
    monkeypatch.setattr(failover, "OBSERVED_SECONDS", OBSERVED_SECONDS)
    report = await failover.failover(RunConfig(folder, replace(SMALL, processes=1), seconds=2))
    assert report.passed, report.line()
    assert report.metrics["gifts_acknowledged"] == report.metrics["gifts_booked"] > 0
    assert report.metrics["new_primaries"] == report.metrics["recoveries"] == 1


def test_the_set_of_the_scenario_has_the_documented_settings() -> None:
    text = (ROOT / "docs" / "deploy.md").read_text()
    documented = re.search(r"settings: \{(.*?)\}", text)
    assert documented
    pairs = re.findall(r"(\w+): (\d+)", documented[1])
    assert {name: int(value) for name, value in pairs} == replica_set.SETTINGS
    assert "oplogNetworkTimeoutBufferSeconds" in replica_set._deployed_parameters()


@pytest.mark.parametrize(
    ("times", "gap"),
    [([], 10.0), ([11, 12, 13, 19], 6.0), ([19, 12, 13, 11], 6.0), ([5, 14, 25], 6.0)],
)
def test_longest_gap_includes_both_ends_of_the_time(times: list[float], gap: float) -> None:
    assert longest_gap(times, since=10, until=20) == gap


class FakeApi:
    """Answers each attempt with the next response."""

    def __init__(self, *responses: Reply) -> None:
        self.responses = list(responses)
        self.paths: Counter[str] = Counter()

    async def request_once(self, _method: str, path: str, *_: Any, **__: Any) -> Reply:
        self.paths[path.rsplit("/", 2)[-2]] += 1
        return self.responses.pop(0)

    async def ops_request(self, _method: str, path: str, **_: Any) -> Reply:
        self.paths[path.rsplit("/", 1)[-1]] += 1
        return Reply(200)


async def give_one(api: FakeApi, granted: int, monkeypatch: pytest.MonkeyPatch) -> Sender:
    monkeypatch.setattr("chaos.senders.RETRY_SECONDS", 0)
    violations, user = Violations(), SimpleNamespace(name="bert", id="2", headers={})
    rng = SimpleNamespace(choice=lambda nodes: nodes[0])
    room: Any = RoomLoad(SimpleNamespace(id="1", live_id=1), [], violations, rng)  # type: ignore[arg-type]
    run: Any = SimpleNamespace(api=api, violations=violations, fleet=SimpleNamespace(nodes=[0]))
    sender = Sender(run, room, user, Acknowledged(), granted)  # type: ignore[arg-type]

    async def stop(_seconds: float) -> None:
        room.running = bool(api.responses)

    monkeypatch.setattr("chaos.senders.asyncio.sleep", stop)
    await sender.give_all()
    return sender


SUCCESS = Reply(200, text='{"status": "success"}')
REFUSED = Reply(200, text='{"status": "insufficient_gold"}')


@pytest.mark.gen_test
async def test_a_gift_is_sent_until_it_is_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    api = FakeApi(Reply(0), Reply(503), SUCCESS)
    sender = await give_one(api, 0, monkeypatch)
    assert api.paths == {"push_gift": 3}
    assert sender.acknowledged.givers == {"bert-1": "2"}
    assert len(sender.acknowledged.at) == 1
    assert not sender.run.violations


@pytest.mark.gen_test
async def test_a_refusal_of_gold_that_was_granted_is_a_violation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api = FakeApi(REFUSED)
    sender = await give_one(api, 10, monkeypatch)
    assert api.paths == {"grant": 1, "push_gift": 1}
    assert sender.run.violations.counts == {"gift_rejected": 1}
    assert not sender.acknowledged.givers
