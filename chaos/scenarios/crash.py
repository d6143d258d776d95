"""kill -9 of a server at every step of a gift, of a payment's notification and of the sweep."""

import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from chaos.crash.gifts import Gifts, RoomGifts
from chaos.crash.orders import Notifications, Sweeps, Till
from chaos.crash.steps import Death, Fate, Step, fate_of, shuffled, steps_of
from chaos.crash.town import Town, founded
from chaos.crash.verdict import judge
from chaos.figures import percentile
from chaos.play import Play, Scenario
from chaos.report import Report, in_ms
from chaos.scene import GOLD, Size

WALKS = 3
"""To the end of a path, before its steps are known: the first ones may be longer."""
LEFT_ALONE = 0.02
"""How often MongoDB is left to find out for itself that a transaction's server is dead."""
KILLED = -9
ANSWERED = ("gift", "gift_outside", "notification")
"""Paths that end with an answer."""
TOLD_EVERY = 1_000


class Path(Protocol):
    """What leads to a death, and what somebody does about what it has left."""

    name: str

    async def prepare(self) -> str:
        """What is to be walked next; before the server for it is born."""

    async def repeat(self) -> None: ...
    async def walk(self, target: str) -> None: ...
    async def settle(self) -> None:
        """At the end, on a server that lives."""


class Matrix:
    """The deaths of a run: one server each, which first repairs what the one before has left."""

    def __init__(self, town: Town, paths: Sequence[Path], chance: random.Random) -> None:
        self.said: Counter[str] = Counter()
        self.seconds: list[float] = []
        """From one death to the next."""
        self._town, self._chance = town, chance
        self._paths = {path.name: path for path in paths}

    async def steps(self) -> list[Step]:
        """Of all paths, by walking them."""
        found: list[Step] = []
        for name in self._paths:
            for _ in range(WALKS):
                death = await self._trial(name, lambda target: Fate(name, target))  # noqa: B023
            found += steps_of(name, death.acts)
            if not death.acts:
                self._town.faults.add("not_walked", f"{name}: {death}")
        return found

    async def die_at_all(self, plan: Sequence[Step]) -> None:
        for number, step in enumerate(plan, 1):
            await self.die_at(step)
            if number % TOLD_EVERY == 0:
                said = f"{number} of {len(plan)} deaths, faults: {dict(self._town.faults.counts)}"
                print(said, file=sys.stderr, flush=True)

    async def die_at(self, step: Step) -> None:
        began = time.monotonic()
        death = await self._trial(step.path, lambda target: fate_of(step, target, self._chance))
        self.seconds.append(time.monotonic() - began)
        if death.status == KILLED and death.is_of(step):
            self.said["kills"] += 1
            self.said[f"kills_{step.path}"] += 1
            self.said["kills_under_way"] += death.under_way
            self.said["strayed"] += death.acts[step.number].name != step.act.name
        else:
            self._town.faults.add("never_came", f"{step}: {death}")

    async def settle(self) -> None:
        """On a server that nobody kills, whatever is left is repaired."""
        await self._town.give_up_transactions()
        async with self._town.peace():
            for path in self._paths.values():
                await path.settle()

    async def _trial(self, name: str, fate_for: Callable[[str], Fate]) -> Death:
        path = self._paths[name]
        if self._chance.random() > LEFT_ALONE:
            await self._town.give_up_transactions()
        target = await path.prepare()
        await self._town.nursery.bear(fate_for(target))
        await path.repeat()
        await path.walk(target)
        return await self._town.nursery.death()


async def crash(play: Play) -> Report:
    """`play.seconds` stands for how many deaths every step sees."""
    async with founded(play.folder) as town:
        began, times = time.monotonic(), int(play.seconds)
        inside, outside, till = await _people(town)
        notes = Notifications(till)
        paths = (inside, outside, notes, Sweeps(till))
        matrix = Matrix(town, paths, random.Random(play.seed))
        steps = await matrix.steps()
        (play.folder / "steps.txt").write_text("".join(f"{step}\n" for step in steps))
        await matrix.die_at_all(shuffled(steps, times, random.Random(play.seed)))
        await matrix.settle()
        counted = await judge(town, inside, outside, till, notes)
        report = _report(play, town, matrix, time.monotonic() - began)
        at_once = sum(path.answered_at_once for path in (inside, outside, notes))
        report.figures |= {"steps": len(steps), "answered_at_once": at_once, **counted}
        report.aim("kills", len(steps) * times, least=True)
        report.aim("answered_at_once", len(ANSWERED) * (WALKS + times), least=True)
        report.aim("gift_events", counted["gifts_of_room"], least=True)
        report.aim("orders_credited", counted["orders"], least=True)
        report.aim("notes_done", counted["notes"], least=True)
        return report


async def _people(town: Town) -> tuple[RoomGifts, Gifts, Till]:
    """A host whose room is live, somebody in it who has gold to give, somebody outside who has,
    and somebody who buys."""
    async with town.peace():
        host = await town.person("host", 2)
        await town.operate("PATCH", f"users/{host.id}", is_matchmaker=True)
        live_id = (await host.post("qlive_room/matchmaker_enter/")).json["live_id"]
        inside, outside = await town.person("inside", 1), await town.person("outside", 1)
        for giver in (inside, outside):
            given = {"gold": GOLD, "reason": "chaos", "request_id": giver.id}
            await town.operate("POST", f"users/{giver.id}/grant", **given)
        await inside.get("get_playurl/", live_id=live_id)
        buyer = await town.person("buyer", 1)
    heard = RoomGifts(town, inside, host, live_id)
    return heard, Gifts(town, "gift_outside", outside, buyer), Till(town, buyer)


def _report(play: Play, town: Town, matrix: Matrix, seconds: float) -> Report:
    figures = {
        **dict(sorted(matrix.said.items())),
        "trial_ms_p50": in_ms(percentile(matrix.seconds, 0.5)),
        "trial_ms_p99": in_ms(percentile(matrix.seconds, 0.99)),
        "trial_ms_max": in_ms(percentile(matrix.seconds, 1)),
    }
    faults, took = town.faults, round(seconds, 1)
    folder = str(play.folder)
    return Report(
        "crash",
        play.seed,
        folder,
        took,
        figures=figures,
        faults=dict(faults.counts),
        examples=faults.examples,
    )


SIZE = Size(clients=3, rooms=1, processes=1, proxied=False, favours=False, walkers=False)
# As many seconds as there are about steps: a death takes less than one.
SCENARIO = Scenario(
    crash, "kill -9 at each step of gift, notification and sweep", (SIZE, 3), (SIZE, 200), 120
)
