"""Redis is dead for a minute under load: rooms go on, a little later than usual."""

import asyncio
import time
from typing import Any

import aiohttp

from chaos.fleet import Node
from chaos.judge import judge
from chaos.play import Play, Scenario
from chaos.report import Report, report_on, told_figures
from chaos.scene import Scene, Size, playing

BEFORE_SECONDS = AFTER_SECONDS = 15.0
NOTICE_SECONDS = 5.0
"""How long /readyz may take to say that Redis went or came."""
DEAD_MS, NORMAL_MS = 1_500, 500
LONGEST_RETURN = 60.0
QUICK, FULL = Size(clients=200), Size(clients=1_000, pause=2.0)


async def redis(play: Play) -> Report:
    async with playing(play.folder, play.size, play.seed) as scene:
        began = time.monotonic()
        scene.act()
        start = time.time()
        await asyncio.sleep(BEFORE_SECONDS)
        scene.fleet.redis.knock_down()
        died = time.time()
        await _watch_health(scene, play.seconds)
        scene.fleet.redis.let_up()
        returned = time.time()
        normal = await _until_ready(scene)
        await asyncio.sleep(AFTER_SECONDS)
        end = time.time()
        await scene.quiet()
        await judge(scene)
        report = report_on(
            scene,
            "redis",
            time.monotonic() - began,
            normal_after=normal,
            **told_figures(scene, (start, died), "before"),
            **told_figures(scene, (died, returned), "dead"),
            **told_figures(scene, (returned + NOTICE_SECONDS, end), "after"),
        )
        report.aim("dead_ms_p99", DEAD_MS)
        report.aim("after_ms_p99", NORMAL_MS)
        report.aim("normal_after", NOTICE_SECONDS)
        report.aim("silences", 0)
        return report


async def _watch_health(scene: Scene, seconds: float) -> None:
    """Alive all the time; ready, and degraded as soon as it can be known."""
    died = time.monotonic()
    while time.monotonic() - died < seconds:
        await asyncio.sleep(1)
        for node in scene.fleet.nodes:
            status, _ = await health(node, "healthz")
            if status != 200:
                scene.faults.add("not_alive", f"server {node.number}: {status}")
            status, said = await health(node, "readyz")
            noticed = time.monotonic() - died > NOTICE_SECONDS
            if status != 200 or (noticed and said != "degraded"):
                scene.faults.add("not_degraded", f"server {node.number}: {status} {said}")


async def _until_ready(scene: Scene) -> float:
    """Seconds until every process calls itself well again."""
    began = time.monotonic()
    while time.monotonic() - began < LONGEST_RETURN:
        said = [await health(node, "readyz") for node in scene.fleet.nodes]
        if said == [(200, "ok")] * len(said):
            break
        await asyncio.sleep(0.2)
    return round(time.monotonic() - began, 2)


async def health(node: Node, path: str) -> tuple[int, Any]:
    """(HTTP status, the word that it says); 0 when nothing answers within 5 s."""
    timeout = aiohttp.ClientTimeout(total=5)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.get(f"http://127.0.0.1:{node.own_port}/{path}") as answer,
        ):
            return answer.status, (await answer.json())["status"]
    except (aiohttp.ClientError, OSError, TimeoutError):
        return 0, ""


SCENARIO = Scenario(redis, "Redis dead under load", (QUICK, 20), (FULL, 60))
