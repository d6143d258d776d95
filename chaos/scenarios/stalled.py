"""A tenth of the readers stall: they are cut, and cost the others neither memory nor time."""

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from typing import Any

from chaos.actors import FOR_THE_MIC
from chaos.figures import percentile
from chaos.judge import judge
from chaos.kernel import Connections, memory_of, ticks
from chaos.play import Play, Scenario
from chaos.report import Report, in_ms, report_on, rounded
from chaos.scene import Scene, Size, playing
from chaos.staller import CUT_SECONDS, Staller

QUICK_PHASES, PHASES = 3, 5
"""Without and with stalled readers, so often in turn: a drift of the machine meets both."""
SHARE = 10
TIMED = 5
"""One client of so many is timed."""
MEMORY_MIB, RATIO, EVENTS_PER_SECOND = 64.0, 1.10, 100.0
PERCENTILES = {"p50": 0.5, "p99": 0.99}
MIB = 1024 * 1024
FACE = "https://faces.example.com/".ljust(500, "x")
ALONE = {"QLIVE_IM__RELAY": "false"}
"""Nobody listens on Tencent's IM, which the servers themselves would have to play: a machine that
is at its limit measures nothing. For the same reason only the mic is busy: a gift or a new name
takes 14 ms of CPU in all, a step to the mic or off it 7 ms."""
QUICK = Size(
    clients=200,
    rooms=2,
    processes=2,
    pause=0.15,
    proxied=False,
    favours=False,
    walkers=False,
    settings=ALONE,
)
FULL = replace(QUICK, clients=1_000, rooms=10, pause=0.17)


async def stalled(play: Play) -> Report:
    """`play.seconds` is how long each phase takes."""
    large = play.size.clients >= FULL.clients
    async with playing(play.folder, play.size, play.seed) as scene:
        began = time.monotonic()
        connections = Connections()
        stallers = await _stallers(scene, connections)
        await _fatten(scene)
        for client in scene.clients[::TIMED]:
            client.timed = True
        scene.act()
        await asyncio.sleep(play.seconds / 2)  # warm
        without, with_ = _Side(), _Side()
        async with _meanwhile(connections.watch()):
            for _ in range(PHASES if large else QUICK_PHASES):
                await without.measure(scene, play.seconds)
                async with _meanwhile(*(staller.stall() for staller in stallers)):
                    await with_.measure(scene, play.seconds)
        await asyncio.gather(*(staller.leave() for staller in stallers))
        await scene.quiet()
        await judge(scene)
        report = _report(scene, stallers, without, with_, time.monotonic() - began)
        if large:
            report.aim("with_events_per_second", EVENTS_PER_SECOND, least=True)
        return report


class _Side:
    """What was measured in the phases of one side."""

    def __init__(self) -> None:
        self.memory: list[int] = []
        """The most of each phase."""
        self.delays: list[float] = []
        self.p99s: list[float] = []
        """Of each phase."""
        self.events = self.seconds = 0.0
        self.busy: list[float] = []
        """The share of all cores; where it is near 1, times say little."""

    async def measure(self, scene: Scene, seconds: float) -> None:
        began, events, before = time.time(), _events(scene), ticks()
        self.memory.append(0)
        while time.time() - began < seconds:
            await asyncio.sleep(0.5)
            self.memory[-1] = max(self.memory[-1], _memory(scene))
        delays = [delay for at, delay in scene.figures.delays if at >= began]
        self.delays += delays
        self.p99s.append(percentile(delays, 0.99) or 0.0)
        self.events += _events(scene) - events
        self.seconds += time.time() - began
        busy, all_ = (after - then for after, then in zip(ticks(), before, strict=True))
        self.busy.append(busy / all_)

    def figures(self, name: str) -> dict[str, Any]:
        delays = {f"{name}_ms_{p}": percentile(self.delays, q) for p, q in PERCENTILES.items()}
        return {
            **{key: in_ms(value) for key, value in delays.items()},
            f"{name}_events_per_second": rounded(self.events / self.seconds),
            f"{name}_busy": rounded(max(self.busy)),
            f"{name}_memory_mib": [round(most / MIB, 1) for most in self.memory],
        }


@contextlib.asynccontextmanager
async def _meanwhile(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _fatten(scene: Scene) -> None:
    """Long addresses of faces: events then weigh 0.8 KB, and the kernel's buffers fill sooner."""
    for stage in scene.stages:
        for one in stage.people[: 2 * FOR_THE_MIC]:
            await one.post("qlive_user/update_userinfo/", face_url=FACE)


async def _stallers(scene: Scene, connections: Connections) -> list[Staller]:
    """People beside those who listen, a tenth as many."""
    found = []
    for n in range(len(scene.clients) // SHARE):
        stage = scene.stages[n % len(scene.stages)]
        phone = await scene.guest(f"staller{n}", 1, stage.live_id)
        chance = scene.chance(phone.name)
        found.append(Staller(scene.fleet, phone, connections, chance))
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
        # Before anybody stalled: what stalled readers leave behind is theirs, too.
        memory_more_mib=round((max(with_.memory) - without.memory[0]) / MIB, 1),
    )
    report.aim("cut", len(stallers), least=True)
    report.aim("never_cut", 0)
    report.aim("cut_after_max", CUT_SECONDS)
    report.aim("p99_ratio", RATIO)
    report.aim("memory_more_mib", MEMORY_MIB)
    report.aim("silences", 0)
    return report


def _events(scene: Scene) -> int:
    return sum(len(story.events) for story in scene.stories.told.values())


def _memory(scene: Scene) -> int:
    """Resident bytes of all servers."""
    return sum(memory_of(node.program.pid or 0) for node in scene.fleet.nodes)


SCENARIO = Scenario(
    stalled, "a tenth of the readers stall", (QUICK, 30), (FULL, 40), rounds=2 * PHASES + 1
)
