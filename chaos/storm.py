"""The storm: a seeded plan of troubles over people who act and listen."""

import asyncio
import random
import time

from chaos import plan
from chaos.judge import judge
from chaos.moves import encore
from chaos.play import Play, Scenario
from chaos.report import Report, report_on
from chaos.scene import Scene, Size, playing
from chaos.stage import Stage
from chaos.troubles import suffer

SILENCE = 8.0
SETTINGS = {
    "QLIVE_REALTIME__HEARTBEAT_SECONDS": "5",
    "QLIVE_REALTIME__SILENT_SECONDS": "15",
    "QLIVE_SERVER__DRAIN_SECONDS": "3",
}
"""Heartbeats, and the patience with silence, are a fifth of the real ones: a storm is short."""


SIZE = Size(silence=SILENCE, settings=SETTINGS)


async def storm(play: Play) -> Report:
    """One storm; what is left in the folder tells how it went."""
    seed, seconds = play.seed, play.seconds
    troubles = plan.make(seed, seconds, play.size.processes)
    (play.folder / "plan.txt").write_text("".join(f"{trouble}\n" for trouble in troubles))
    async with playing(play.folder, play.size, seed) as scene:
        began = time.monotonic()
        scene.act()
        await asyncio.gather(
            _encores(scene, scene.chance("encores"), seconds),
            *(_at(trouble.at, scene, trouble) for trouble in troubles),
        )
        await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))
        await scene.quiet()
        await judge(scene)
        return report_on(scene, "storm", time.monotonic() - began)


async def _at(seconds: float, scene: Scene, trouble: plan.Trouble) -> None:
    await asyncio.sleep(seconds)
    await suffer(scene.fleet, trouble)


async def _encores(scene: Scene, chance: random.Random, seconds: float) -> None:
    """In one room of four the live ends in the middle of it, and a new one begins."""
    stages = chance.sample(scene.stages, len(scene.stages) // 4)

    async def one(stage: Stage, at: float) -> None:
        await asyncio.sleep(at)
        await encore(stage)

    await asyncio.gather(*(one(stage, chance.uniform(0.2, 0.7) * seconds) for stage in stages))


SCENARIO = Scenario(storm, "all troubles at once, by a seeded plan", (SIZE, 60), (SIZE, 60))
