"""A rolling restart of all processes under full rooms: nobody misses anything, nobody rushes."""

import asyncio
import time
from collections import Counter

from chaos.judge import judge
from chaos.play import Play, Scenario
from chaos.report import Report, report_on
from chaos.scene import Scene, Size, playing

BIN_SECONDS = 2
REST_SECONDS = 5.0
QUICK = Size(clients=300, settings={"QLIVE_SERVER__DRAIN_SECONDS": "6"})
FULL = Size(clients=2_000, pause=2.0, proxied=False)


async def rolling(play: Play) -> Report:
    """`play.seconds` pass between two restarts."""
    async with playing(play.folder, play.size, play.seed) as scene:
        began = time.monotonic()
        scene.act()
        await asyncio.sleep(REST_SECONDS)
        restarts: list[float] = []
        ends: list[float] = []
        for node in scene.fleet.nodes:
            restarts.append(time.time())
            ends.append(round(await node.program.deploy(), 1))
            await scene.fleet.ready(node)
            await asyncio.sleep(play.seconds)
        await scene.quiet()
        await judge(scene)
        return report_on(
            scene,
            "rolling",
            time.monotonic() - began,
            took_to_end=ends,
            back_by_seconds_after_sigterm=_histogram(scene, restarts),
        )


def _histogram(scene: Scene, restarts: list[float]) -> dict[str, int]:
    """How many came back in each two seconds after the latest restart before it."""
    found: Counter[int] = Counter()
    for at in scene.figures.returns:
        before = [restart for restart in restarts if restart <= at]
        if before:
            found[int((at - before[-1]) // BIN_SECONDS) * BIN_SECONDS] += 1
    return {f"{low}-{low + BIN_SECONDS}": found[low] for low in sorted(found)}


SCENARIO = Scenario(rolling, "a rolling restart of all processes", (QUICK, 10), (FULL, 25))
