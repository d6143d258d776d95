"""What needs a database or a server to be known, over a played one."""

from types import SimpleNamespace
from typing import Any

import pytest

from chaos.judge import _check_logs, _missing_gold
from chaos.phones import Answer
from chaos.scene import GOLD
from chaos.story import Faults, Frame, Stories

a_scene = pytest.mark.gen_test


def event(seq: int, gold: int = 5) -> Frame:
    gift = {"from": {"user_id": "2"}, "gold": gold, "request_id": str(seq)}
    return {"type": "gift", "epoch": "a", "live_id": 1, "seq": seq, "ts": 9, "data": gift}


def stored(frame: Frame) -> dict[str, Any]:
    return {name: frame[name] for name in ("seq", "ts", "type", "data")}


class Scene:
    """One giver in one room, whose events 1 to 3 were heard."""

    def __init__(self) -> None:
        self.faults, self.stories = Faults(), Stories()
        self.fleet = SimpleNamespace(database="qlive", mongod=self)
        self.network = self
        self.stages = [SimpleNamespace(people=[SimpleNamespace(name="giver", id="2")])]
        self.gold = GOLD - 15
        self.log = [stored(event(seq)) for seq in (2, 3, 4)]
        self.stories.of(1, "a").events = {seq: event(seq) for seq in (1, 2, 3)}

    async def logs(self, _database: str) -> dict[tuple[int, str], list[dict[str, Any]]]:
        return {(1, "a"): self.log}

    async def operate(self, _method: str, path: str) -> Answer:
        assert path == "users/2"
        return Answer(200, {"gold": self.gold})


@pytest.fixture
def scene() -> Any:
    return Scene()


@a_scene
async def test_who_gave_what_was_heard_lacks_nothing(scene: Any) -> None:
    assert await _missing_gold(scene) == []


@a_scene
@pytest.mark.parametrize("gold", [GOLD - 20, GOLD - 10])
async def test_gold_that_went_without_a_gift_or_a_gift_without_gold_is_missed(
    scene: Any, gold: int
) -> None:
    scene.gold = gold
    assert await _missing_gold(scene) == [("gold", f"giver: {gold}, not {GOLD - 15}")]


@a_scene
async def test_what_was_told_as_it_was_stored_is_right(scene: Any) -> None:
    await _check_logs(scene)
    assert not scene.faults


@a_scene
async def test_what_was_stored_otherwise_is_caught(scene: Any) -> None:
    scene.log[1] = stored(event(3, gold=6))
    await _check_logs(scene)
    assert dict(scene.faults.counts) == {"told_differently": 1}
