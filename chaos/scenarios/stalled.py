"""A tenth of the readers stall: they are cut, and cost the others neither memory nor time."""

import asyncio
import contextlib
import random
import statistics
import time
from collections.abc import AsyncIterator
from typing import Any

from chaos.actors import GIVERS
from chaos.figures import percentile
from chaos.judge import judge
from chaos.kernel import Connections, memory_of
from chaos.play import Play, Scenario
from chaos.report import Report, in_ms, report_on, rounded
from chaos.scene import Scene, Size, playing
from chaos.staller import POLL_SECONDS, Staller

PHASES = 3
"""Without and with stalled readers, so often in turn: a drift of the machine meets both."""
SHARE = 10
TIMED = 5
"""One client of so many is timed."""
CUT_SECONDS, MEMORY_MIB, RATIO = 10.0 + POLL_SECONDS, 64.0, 1.10
PERCENTILES = {"p50": 0.5, "p99": 0.99}
MIB = 1024 * 1024
FACE = "https://faces.example.com/".ljust(500, "x")
QUICK = Size(clients=200, rooms=2, processes=2, pause=0.15, proxied=False, walkers=False)
FULL = Size(clients=1_000, rooms=4, processes=2, pause=0.15, proxied=False, walkers=False)


async def stalled(play: Play) -> Report:
    """`play.seconds` is how long each of the 2 x PHASES phases takes."""
    async with playing(play.folder, play.size, play.seed) as scene:
        began = time.monotonic()
        stallers = await _stallers(scene)
        await _fatten(scene)
        for client in scene.clients[::TIMED]:
            client.timed = True
        scene.act()
        await asyncio.sleep(play.seconds / 2)  # warm
        without, with_ = _Side(), _Side()
        for _ in range(PHASES):
            await without.measure(scene, play.seconds)
            async with _stalling(stallers):
                await with_.measure(scene, play.seconds)
        await scene.quiet()
        await judge(scene)
        return _report(scene, stallers, without, with_, time.monotonic() - began)


class _Side:
    """What was measured in the phases of one side."""

    def __init__(self) -> None:
        self.memory = 0
        self.delays: list[float] = []
        self.p99s: list[float] = []
        """Of each phase."""
        self.events = self.seconds = 0.0

    async def measure(self, scene: Scene, seconds: float) -> None:
        began, events = time.time(), _events(scene)
        while time.time() - began < seconds:
            await asyncio.sleep(0.5)
            self.memory = max(self.memory, _memory(scene))
        delays = [delay for at, delay in scene.figures.delays if at >= began]
        self.delays += delays
        self.p99s.append(percentile(delays, 0.99) or 0.0)
        self.events += _events(scene) - events
        self.seconds += time.time() - began

    def figures(self, name: str) -> dict[str, Any]:
        delays = {f"{name}_ms_{p}": percentile(self.delays, q) for p, q in PERCENTILES.items()}
        return {
            **{key: in_ms(value) for key, value in delays.items()},
            f"{name}_events_per_second": rounded(self.events / self.seconds),
            f"{name}_memory_mib": round(self.memory / MIB, 1),
        }


@contextlib.asynccontextmanager
async def _stalling(stallers: list[Staller]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(staller.stall()) for staller in stallers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _fatten(scene: Scene) -> None:
    """Long addresses of faces: a gift then weighs 1.4 KB, and the kernel's buffers fill sooner."""
    for stage in scene.stages:
        for one in (stage.host, *stage.people[-GIVERS:]):
            await one.post("qlive_user/update_userinfo/", face_url=FACE)


async def _stallers(scene: Scene) -> list[Staller]:
    """People beside those who listen, a tenth as many."""
    connections, found = Connections(), []
    for n in range(len(scene.clients) // SHARE):
        stage = scene.stages[n % len(scene.stages)]
        phone = await scene.guest(f"staller{n}", 1, stage.live_id)
        found.append(Staller(scene.fleet, phone, connections, random.Random(n)))
    return found


def _report(
    scene: Scene, stallers: list[Staller], without: _Side, with_: _Side, seconds: float
) -> Report:
    cuts = [seconds for staller in stallers for seconds in staller.cuts]
    stalls = [seconds for staller in stallers for seconds in staller.stalls]
    ratios = [b / a for a, b in zip(without.p99s, with_.p99s, strict=True) if a]
    report = report_on(
        scene,
        "stalled",
        seconds,
        stalled=len(stallers),
        cut=len(cuts),
        never_cut=sum(staller.never for staller in stallers),
        stalled_for_p50=rounded(percentile(stalls, 0.5)),
        stalled_for_max=rounded(percentile(stalls, 1)),
        cut_after_p50=rounded(percentile(cuts, 0.5)),
        cut_after_max=rounded(percentile(cuts, 1)),
        **without.figures("without"),
        **with_.figures("with"),
        p99_ratio=rounded(statistics.median(ratios)),
        p99_ratios=[round(ratio, 2) for ratio in ratios],
        memory_more_mib=round((with_.memory - without.memory) / MIB, 1),
    )
    report.aim("cut", 1, least=True)
    report.aim("never_cut", 0)
    report.aim("cut_after_max", CUT_SECONDS)
    report.aim("p99_ratio", RATIO)
    report.aim("memory_more_mib", MEMORY_MIB)
    return report


def _events(scene: Scene) -> int:
    return sum(len(story.events) for story in scene.stories.told.values())


def _memory(scene: Scene) -> int:
    """Resident bytes of all servers."""
    return sum(memory_of(node.program.pid or 0) for node in scene.fleet.nodes)


SCENARIO = Scenario(stalled, "a tenth of the readers stall", (QUICK, 25), (FULL, 40))
