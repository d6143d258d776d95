"""Servers are killed for minutes while thousands listen: nobody misses anything."""

import asyncio
import time

from chaos.judge import judge
from chaos.play import Play, Scenario
from chaos.report import Report, report_on
from chaos.scene import Scene, Size, playing

EVERY_SECONDS = (10.0, 20.0)
DOWN_SECONDS = (0.5, 5.0)
BACK_P95, BACK_MAX = 10.0, 30.0
DELIVERIES = 1_000_000
QUICK = Size(clients=300, pause=1.0)
FULL = Size(clients=2_000, pause=2.0, proxied=False)


async def resume(play: Play) -> Report:
    async with playing(play.folder, play.size, play.seed) as scene:
        began = time.monotonic()
        scene.act()
        kills = await _kill_for(scene, play.seconds)
        await scene.quiet()
        await judge(scene)
        report = report_on(scene, "resume", time.monotonic() - began, kills=kills)
        report.aim("back_kill_p95", BACK_P95)
        report.aim("back_kill_max", BACK_MAX)
        if "back_other_max" in report.figures:
            report.aim("back_other_max", BACK_MAX)
        report.aim("silences", 0)
        if play.size.clients >= FULL.clients:
            report.aim("deliveries", DELIVERIES, least=True)
        return report


async def _kill_for(scene: Scene, seconds: float) -> int:
    deadline, kills, chance = time.monotonic() + seconds, 0, scene.chance("kills")
    while time.monotonic() < deadline:
        await asyncio.sleep(chance.uniform(*EVERY_SECONDS))
        node = chance.choice(scene.fleet.nodes)
        node.kill()
        kills += 1
        await asyncio.sleep(chance.uniform(*DOWN_SECONDS))
        node.program.let_up()
        await scene.fleet.ready(node)
    return kills


SCENARIO = Scenario(
    resume, "kill -9 of servers under thousands of clients", (QUICK, 60), (FULL, 600)
)
