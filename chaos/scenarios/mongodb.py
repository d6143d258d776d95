"""MongoDB is killed and comes back: writes are refused meanwhile, and no event is lost."""

import asyncio
import time
from collections import Counter

from chaos.judge import judge
from chaos.play import Play, Scenario
from chaos.report import Report, report_on
from chaos.scene import Scene, Size, playing

BEFORE_SECONDS, AFTER_SECONDS = 10.0, 25.0
BACK_SECONDS = 12.0
SETTLED_SECONDS = 1.0
QUICK, FULL = Size(clients=200), Size(clients=1_000, pause=2.0)


async def mongodb(play: Play) -> Report:
    """`play.seconds` is how long it stays dead."""
    async with playing(play.folder, play.size, play.seed) as scene:
        began = time.monotonic()
        scene.act()
        await asyncio.sleep(BEFORE_SECONDS)
        died = time.time()
        await scene.fleet.mongod.kill()
        await asyncio.sleep(play.seconds)
        await scene.fleet.mongod.start()
        returned = time.time()
        await asyncio.sleep(AFTER_SECONDS)
        meanwhile = _answers(scene, died + SETTLED_SECONDS, returned)
        streak = _longest_after(scene, returned)
        await scene.quiet()
        await judge(scene)
        report = report_on(
            scene,
            "mongodb",
            time.monotonic() - began,
            dead_for=round(returned - died, 1),
            refused_meanwhile=meanwhile[503],
            unanswered_meanwhile=meanwhile[0],
            works_after=streak,
        )
        report.aim("refused_meanwhile", 1, least=True)
        report.aim("unanswered_meanwhile", 0)
        report.aim("works_after", BACK_SECONDS)
        return report


def _answers(scene: Scene, since: float, until: float) -> Counter[int]:
    """What was answered 503 (or, 0, not at all) in that time."""
    return Counter(status for at, status in scene.figures.unavailable if since <= at <= until)


def _longest_after(scene: Scene, returned: float) -> float:
    """Seconds from its return to the last request that was refused for it."""
    late = [at - returned for at, _ in scene.figures.unavailable if at > returned]
    return round(max(late, default=0.0), 2)


# Dead for longer than a phone waits for an answer, so that a request that hangs is noticed.
SCENARIO = Scenario(mongodb, "MongoDB killed and restarted", (QUICK, 15), (FULL, 20))
