"""A rolling restart of all processes under full rooms: nobody misses anything, nobody rushes."""

import asyncio
import time
from collections import Counter

from chaos.judge import judge
from chaos.play import Play, Scenario
from chaos.report import Report, report_on
from chaos.scene import Scene, Size, playing

REST_SECONDS = 5.0
RUSH = 2.5
"""So many times its even share may come back in the busiest second of a drain."""
END_SECONDS = 5.0
"""For a server to end after its drain."""
DRAIN = "QLIVE_SERVER__DRAIN_SECONDS"
QUICK = Size(clients=300, settings={DRAIN: "6"})
FULL = Size(clients=2_000, pause=2.0, proxied=False, settings={DRAIN: "20"})


async def rolling(play: Play) -> Report:
    """`play.seconds` pass between two restarts."""
    async with playing(play.folder, play.size, play.seed) as scene:
        began = time.monotonic()
        scene.act()
        await asyncio.sleep(REST_SECONDS)
        restarts: list[float] = []
        ends: list[float] = []
        drain = float(play.size.settings[DRAIN])
        for node in scene.fleet.nodes:
            restarts.append(time.time())
            ends.append(round(await node.program.deploy(), 1))
            await scene.fleet.ready(node)
            await asyncio.sleep(play.seconds)
        await scene.quiet()
        await judge(scene)
        back = _histogram(scene, restarts)
        report = report_on(
            scene,
            "rolling",
            time.monotonic() - began,
            slowest_end=max(ends),
            rush=round(max(back.values()) * drain / back.total(), 2),
            back_by_seconds_after_sigterm=dict(sorted(back.items())),
        )
        report.aim("rush", RUSH)
        report.aim("slowest_end", drain + END_SECONDS)
        report.aim("silences", 0)
        return report


def _histogram(scene: Scene, restarts: list[float]) -> Counter[int]:
    """How many came back in each second after the latest restart before it."""
    found: Counter[int] = Counter()
    for at in scene.figures.returns:
        before = [restart for restart in restarts if restart <= at]
        if before:
            found[int(at - before[-1])] += 1
    return found


SCENARIO = Scenario(
    rolling, "a rolling restart of all processes", (QUICK, 10), (FULL, 25), rounds=QUICK.processes
)
