"""MongoDB is killed every few seconds under a shower of gifts: whoever has gold gives it, once."""

import asyncio
import time
from collections import Counter
from typing import Any

from chaos.actors import GIFT_ID
from chaos.audit import audit
from chaos.judge import judge
from chaos.phones import Phone
from chaos.play import Play, Scenario
from chaos.report import Report, report_on
from chaos.scene import GOLD, Scene, Size, playing
from chaos.stage import Stage

PER_SECOND = 300
EVERY_SECONDS, DEAD_SECONDS = 10.0, 1.0
AT_ONCE = 3_000
"""Gifts under way: those that nobody answers do not become more for ever."""
SIZE = Size(clients=24, rooms=4, processes=2, favours=False, walkers=False)


class Shower:
    """People give at a steady rate, however long an answer takes; each asks until answered."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.acknowledged: dict[str, str] = {}
        self.said: Counter[str] = Counter()
        self._under_way: set[asyncio.Task[None]] = set()
        self._places = [(stage, one) for stage in scene.stages for one in stage.people]

    async def fund(self) -> None:
        for _, giver in self._places:
            given = {"gold": GOLD, "reason": "chaos", "request_id": giver.id}
            await self.scene.network.operate("POST", f"users/{giver.id}/grant", **given)

    async def fall(self, seconds: float) -> None:
        """Returns when the last one is answered."""
        began, number = time.monotonic(), 0
        while (now := time.monotonic() - began) < seconds:
            while number < now * PER_SECOND and len(self._under_way) < AT_ONCE:
                self._begin(number)
                number += 1
            await asyncio.sleep(0.005)
        await asyncio.gather(*self._under_way)

    def _begin(self, number: int) -> None:
        stage, giver = self._places[number % len(self._places)]
        task = asyncio.ensure_future(self._give(stage, giver, f"rain{number}"))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _give(self, stage: Stage, giver: Phone, request_id: str) -> None:
        began = time.time()
        gift: Any = {"user_id": stage.host.id, "gift_id": GIFT_ID, "request_id": request_id}
        answer = await giver.get("qlive_gift/push_gift/", **gift)
        if not answer.ok:
            self.said[str(answer.status)] += 1
        elif answer.json["status"] == "success":
            self.said["success"] += 1
            self.acknowledged[request_id] = giver.id
        else:
            self.said["refused"] += 1
            self.scene.faults.add("told_insufficient", f"{request_id}: {answer.json}")
        stage.done(answer, f"gift {request_id}", began)


async def gold(play: Play) -> Report:
    """`play.seconds` is how long the shower falls."""
    async with playing(play.folder, play.size, play.seed) as scene:
        began, shower = time.monotonic(), Shower(scene)
        await shower.fund()
        falling = asyncio.ensure_future(shower.fall(play.seconds))
        kills = await _kill_again_and_again(scene, play.seconds)
        await falling
        rained = time.monotonic() - began
        await scene.quiet()
        await judge(scene)
        booked = await audit(scene, shower.acknowledged)
        report = report_on(
            scene,
            "gold",
            time.monotonic() - began,
            kills=kills,
            given=len(shower.acknowledged),
            given_per_second=round(len(shower.acknowledged) / rained, 1),
            booked=booked,
            said=dict(shower.said),
        )
        report.aim("given_per_second", 0.85 * PER_SECOND, least=True)
        return report


async def _kill_again_and_again(scene: Scene, seconds: float) -> int:
    kills, until = 0, time.monotonic() + seconds
    while time.monotonic() + EVERY_SECONDS < until:
        await asyncio.sleep(EVERY_SECONDS - DEAD_SECONDS)
        await scene.fleet.mongod.kill()
        kills += 1
        await asyncio.sleep(DEAD_SECONDS)
        await scene.fleet.mongod.start()
    return kills


SCENARIO = Scenario(gold, "gifts while MongoDB is killed every 10 s", (SIZE, 30), (SIZE, 120))
