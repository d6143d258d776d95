import random
from types import SimpleNamespace
from typing import Any

import pytest

from chaos import moves
from chaos.phones import Answer
from chaos.stage import Stage
from chaos.story import Faults


class Phone:
    """Is answered by what its script says, and by the last of it for ever."""

    id, name, live_id = "1", "host", 7

    def __init__(self, *statuses: int) -> None:
        self._statuses = list(statuses)
        self.asked: list[str] = []

    async def post(self, path: str, **_sent: Any) -> Answer:
        self.asked.append(path.strip("/").rpartition("/")[2])
        status = self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
        return Answer(status)

    get = post


def stage_of(host: Any) -> Stage:
    return Stage(host, [], Faults(), random.Random(1))


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep(_seconds: float) -> None: ...

    monkeypatch.setattr(moves, "asyncio", SimpleNamespace(**vars(moves.asyncio) | {"sleep": sleep}))


@pytest.mark.gen_test
async def test_a_live_ends_and_begins_anew_when_it_is_asked_for_again() -> None:
    phone = Phone(0, 200, 503, 200)
    stage = stage_of(phone)
    await moves.encore(stage)
    assert phone.asked == ["live_end"] * 2 + ["matchmaker_enter"] * 2
    assert [act.key for act in stage.acts] == ["live_end 1"]
    assert not stage.faults


@pytest.mark.gen_test
@pytest.mark.parametrize("status", [0, 409, 503])
async def test_a_live_that_cannot_be_ended_is_a_fault_and_no_endless_loop(status: int) -> None:
    phone = Phone(status)
    stage = stage_of(phone)
    await moves.encore(stage)
    assert phone.asked == ["live_end"] * moves.TRIES
    assert dict(stage.faults.counts) == {"contradicted": 1}


@pytest.mark.gen_test
@pytest.mark.parametrize("left", [0, 503])
async def test_who_may_not_have_left_comes_back_with_one_ear(left: int) -> None:
    calls: list[str] = []
    client: Any = SimpleNamespace(
        wanted=True, stop=lambda: calls.append("stop"), begin=lambda: calls.append("begin")
    )
    phone: Any = Phone(left, 200)
    stage = stage_of(phone)
    stage.chance.random = lambda: 1.0  # type: ignore[method-assign]

    def once() -> None:
        calls.append("begin")
        stage.going = False

    client.begin = once
    await moves.walk(stage, phone, client, 0)
    assert calls == ["stop", "begin"]
