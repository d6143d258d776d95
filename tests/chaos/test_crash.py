"""The crash matrix: how steps are found, who dies at them, and what is wrong afterwards."""

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from chaos.crash.orders import Notifications
from chaos.crash.steps import Act, Death, Fate, Step, fate_of, shuffled, steps_of
from chaos.crash.town import founded
from chaos.crash.verdict import judge, wrong_events, wrong_gifts, wrong_orders
from chaos.crash.watch import ON_PATH, Watch
from chaos.scenarios.crash import Matrix, _people

pytestmark = [pytest.mark.programs, pytest.mark.linux]

READ, WRITE = Act("find users", 0.25), Act("update users *", 0.5)


def test_every_act_of_a_path_has_a_step_before_during_and_after_it() -> None:
    assert [str(step) for step in steps_of("gift", [READ, WRITE])] == [
        "gift 00 before find users",
        "gift 00 during find users",
        "gift 00 after find users",
        "gift 01 before update users *",
        "gift 01 during update users *",
        "gift 01 after update users *",
    ]


def test_every_step_comes_as_often_as_asked_and_in_the_order_of_its_seed() -> None:
    steps = steps_of("gift", [READ, WRITE])
    plan = shuffled(steps, 5, random.Random(3))
    assert Counter(plan) == dict.fromkeys(steps, 5)
    assert plan == shuffled(steps, 5, random.Random(3))
    assert plan != shuffled(steps, 5, random.Random(4))


def test_who_dies_during_an_act_dies_within_its_time() -> None:
    step = Step("gift", 1, "during", WRITE)
    fates = [fate_of(step, "one", random.Random(seed)) for seed in range(50)]
    assert max(fate.delay for fate in fates) <= 0.5
    assert len({fate.delay for fate in fates}) == 50


def test_a_fate_and_a_death_are_read_as_they_were_written() -> None:
    fate = Fate("gift", "one", 3, "during", 0.25)
    assert Fate.read(fate.line()) == fate
    death = Death("during", 3, under_way=True, acts=(READ, WRITE), status=-9)
    assert Death.read(json.loads(json.dumps(asdict(death)))) == death
    assert death.is_of(Step("gift", 3, "during", WRITE))
    assert not death.is_of(Step("gift", 3, "after", WRITE))
    assert Death.read({}) == Death()


class Dead(Exception):
    """Instead of the end of the process."""


class Walk:
    """Two acts on a path; `alarms` is what would come by itself."""

    def __init__(self, fate: Fate) -> None:
        self.death = Death()
        self.alarms: list[Callable[[], None]] = []
        self.watch = Watch(fate, self._die, lambda _seconds, act: self.alarms.append(act))

    def go(self, *, marked: bool = True) -> Death:
        token = ON_PATH.set(marked)
        try:
            for name in ("find users", "update users *"):
                self.watch.begin(name, name)
                self.watch.end(name)
            self.watch.over()
        except Dead:
            pass
        finally:
            ON_PATH.reset(token)
        return self.death

    def _die(self, death: Death) -> None:
        self.death = death
        raise Dead


@pytest.mark.parametrize(
    ("number", "moment", "known"),
    [
        (0, "before", ["find users"]),
        (0, "after", ["find users"]),
        (1, "before", ["find users", "update users *"]),
        (1, "after", ["find users", "update users *"]),
    ],
)
def test_a_server_dies_at_its_step(number: int, moment: Any, known: list[str]) -> None:
    death = Walk(Fate("gift", "one", number, moment)).go()
    assert (death.number, death.at) == (number, moment)
    assert [act.name for act in death.acts] == known


def test_who_is_to_die_during_an_act_dies_when_the_alarm_comes() -> None:
    walk = Walk(Fate("gift", "one", 1, "during"))
    token = ON_PATH.set(True)
    for name in ("find users", "update users *"):
        assert not walk.alarms
        walk.watch.begin(name, name)
        if name == "find users":
            walk.watch.end(name)
    ON_PATH.reset(token)
    with pytest.raises(Dead):
        walk.alarms[0]()
    assert (walk.death.at, walk.death.under_way) == ("during", True)


def test_a_step_that_never_comes_is_told_at_the_end_of_the_path() -> None:
    death = Walk(Fate("gift", "one", 2, "before")).go()
    assert death.at == "end"
    assert [act.name for act in death.acts] == ["find users", "update users *"]


def test_what_is_not_on_the_path_is_nobody_s_death() -> None:
    assert Walk(Fate("gift", "one", 0, "before")).go(marked=False) == Death()


# ---- the verdict


def booked(name: str, seq: int, gold: int) -> dict[str, Any]:
    return {
        "_id": f"gift:anna:{name}",
        "by": "anna",
        "lines": [
            {"account": "user:anna", "unit": "gold", "amount": -1},
            {"account": "house", "unit": "gold", "amount": 1},
        ],
        "answer": {"status": "success", "gold": gold, "income": 0},
        "live_id": 1,
        "epoch": "e",
        "seq": seq,
    }


ONE, TWO = booked("one", 1, 9), booked("two", 2, 8)
ROOM = {"_id": 1, "epoch": "e", "version": 2}
SAID = {row["_id"]: row["answer"] for row in (ONE, TWO)}


def kinds(found: Any) -> list[str]:
    return sorted({kind for kind, _ in found})


def test_gifts_that_stand_in_the_book_as_they_were_answered_are_right() -> None:
    assert kinds(wrong_gifts(SAID, [ONE, TWO])) == []
    assert kinds(wrong_events([ONE, TWO], {1: "one", 2: "two"}, ROOM)) == []


def test_gifts_that_are_lost_invented_or_answered_differently_are_found() -> None:
    assert kinds(wrong_gifts(SAID, [ONE])) == ["gift_lost"]
    assert kinds(wrong_gifts({}, [ONE])) == ["gift_of_nobody"]
    other = {**SAID, ONE["_id"]: {"status": "success", "gold": 7, "income": 0}}
    assert kinds(wrong_gifts(other, [ONE, TWO])) == ["answered_differently"]


def test_a_gift_that_cost_something_else_is_found() -> None:
    row = booked("two", 2, 9)
    assert kinds(wrong_gifts({**SAID, row["_id"]: row["answer"]}, [ONE, row])) == [
        "charged_wrongly"
    ]


@pytest.mark.parametrize(
    ("events", "version", "kind"),
    [
        ({1: "one"}, 2, ["event_numbers", "gift_unheard"]),
        ({1: "one", 2: "two", 4: "three"}, 4, ["event_numbers"]),
        ({1: "one", 2: "two", 3: "two"}, 3, ["event_doubled"]),
        ({1: "two", 2: "one"}, 2, ["gift_unheard"]),
    ],
)
def test_gifts_without_an_event_and_numbers_without_a_gift_are_found(
    events: dict[int, str], version: int, kind: list[str]
) -> None:
    assert kinds(wrong_events([ONE, TWO], events, {**ROOM, "version": version})) == kind


def test_two_gifts_that_name_one_event_are_found() -> None:
    rows = [ONE, booked("two", 1, 8)]
    assert "event_shared" in kinds(wrong_events(rows, {1: "one", 2: "two"}, ROOM))


def test_orders_that_are_not_credited_once_are_found() -> None:
    order = {"_id": "Q1", "state": "paid", "gold": 60}
    entry = {"_id": "recharge:Q1"}
    assert kinds(wrong_orders([order], [entry], {"gold": 60})) == []
    assert kinds(wrong_orders([order], [], {"gold": 0})) == ["order_lost", "purse"]
    assert kinds(wrong_orders([order], [entry], {"gold": 120})) == ["purse"]
    assert kinds(wrong_orders([], [entry], {"gold": 0})) == ["credited_for_nothing"]


# ---- a few real deaths


@pytest.mark.gen_test(timeout=90)
async def test_a_gift_is_given_once_wherever_its_server_dies(tmp_path: Path) -> None:
    async with founded(tmp_path) as town:
        inside, outside, till = await _people(town)
        matrix = Matrix(town, [inside], random.Random(1))
        steps = {str(step)[len("gift 00 ") :]: step for step in await matrix.steps()}
        for name in ("before insert ledger *", "during update rooms *", "after the answer"):
            await matrix.die_at(steps[name])
        await matrix.settle()
        counted = await judge(town, inside, outside, till, Notifications(till))
        assert not town.faults, town.faults.examples
        assert matrix.said["kills"] == 3
        assert matrix.said["strayed"] == 0
        assert counted["gift_events"] == counted["gifts_booked"] == 6, "the walks are gifts, too"
        assert inside.answered_at_once == 4
