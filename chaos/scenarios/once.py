"""Every request_id comes many times at once, over all processes: one effect, and equal answers."""

import asyncio
import json
import time
from typing import Any

from chaos.actors import GIFT_ID
from chaos.audit import audit
from chaos.judge import judge
from chaos.phones import BASE, Answer, Phone
from chaos.play import Play, Scenario
from chaos.report import Report, report_on
from chaos.scene import GOLD, Scene, Size, playing

TIMES = 50
IDS_AT_ONCE = 8
IDS_PER_SECOND = 10
"""The length of a run in seconds stands for its size."""
SIZE = Size(clients=16, rooms=2, processes=4, favours=False, walkers=False)


async def once(play: Play) -> Report:
    """Ten ids for each of `play.seconds`; every second one is of a gift outside of rooms."""
    async with playing(play.folder, play.size, play.seed) as scene:
        began, ids = time.monotonic(), int(play.seconds * IDS_PER_SECOND)
        acknowledged = await _ask_all(scene, ids)
        await scene.quiet()
        await judge(scene)
        booked = await audit(scene, acknowledged)
        report = report_on(
            scene,
            "once",
            time.monotonic() - began,
            ids=ids,
            times=TIMES,
            given=len(acknowledged),
            booked=booked,
        )
        report.aim("given", ids, least=True)
        report.aim("booked", ids)
        return report


async def _ask_all(scene: Scene, ids: int) -> dict[str, str]:
    """What was acknowledged: who gave it, by request_id."""
    limit, acknowledged = asyncio.Semaphore(IDS_AT_ONCE), dict[str, str]()
    giver_outside, outside = await scene.person("giver", 1), await scene.person("outside", 1)
    given = {"gold": GOLD, "reason": "chaos", "request_id": giver_outside.id}
    await scene.network.operate("POST", f"users/{giver_outside.id}/grant", **given)

    async def one(number: int) -> None:
        stage = scene.stages[number % len(scene.stages)]
        giver, to = stage.people[-1], stage.host  # the last one has gold
        if number % 4 > 1:
            giver, to = giver_outside, outside
        request_id, at = f"once{number}", time.time()
        async with limit:
            answers = await _ask(scene, giver, to, request_id)
        if _same(scene, request_id, answers):
            acknowledged[request_id] = giver.id
            if to is stage.host:
                stage.done(answers[0], f"gift {request_id}", at)

    await asyncio.gather(*map(one, range(ids)))
    return acknowledged


async def _ask(scene: Scene, giver: Phone, to: Phone, request_id: str) -> list[Answer]:
    """The same request TIMES at once, shared among the processes."""
    sent: dict[str, Any] = {"user_id": to.id, "gift_id": GIFT_ID, "request_id": request_id}
    nodes = scene.fleet.nodes
    path = f"{BASE}qlive_gift/push_gift/"
    return await asyncio.gather(
        *(
            scene.network.ask("GET", path, sent, giver.headers, nodes[n % len(nodes)])
            for n in range(TIMES)
        )
    )


def _same(scene: Scene, request_id: str, answers: list[Answer]) -> bool:
    """Whether all were told the same success."""
    said = {json.dumps(answer.json, sort_keys=True) for answer in answers}
    if len(said) != 1 or not answers[0].ok or answers[0].json["status"] != "success":
        scene.faults.add("answered_differently", f"{request_id}: {sorted(said)}")
        return False
    if answers[0].json["gold"] >= GOLD:
        scene.faults.add("not_charged", f"{request_id}: {answers[0].json}")
    return True


SCENARIO = Scenario(
    once, "1,000 request_ids, 50 times each at once, over 4 processes", (SIZE, 10), (SIZE, 100)
)
