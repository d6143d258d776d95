"""The storm: many kinds of faults at once, by a seeded plan, under load."""

import asyncio
import random
import time

from chaos import faults
from chaos.faults import Fault, inject
from chaos.invariants import check_invariants
from chaos.membership_changes import restart_live
from chaos.report import RunReport, make_report
from chaos.room_load import RoomLoad
from chaos.run import Run, RunSize, started_run
from chaos.scenario import RunConfig, Scenario

SILENCE_TIMEOUT = 8.0
SETTINGS = {
    "QLIVE_REALTIME__HEARTBEAT_SECONDS": "5",
    "QLIVE_SERVER__DRAIN_SECONDS": "3",
}
"""Heartbeat interval and silence timeouts are a fifth of the defaults, since a storm is short."""


SIZE = RunSize(silence_timeout=SILENCE_TIMEOUT, settings=SETTINGS)


async def storm(config: RunConfig) -> RunReport:
    """Run one storm; the plan and the logs stay in the folder."""
    seed, seconds = config.seed, config.seconds
    plan = faults.make_plan(seed, seconds, config.size.processes)
    (config.folder / "plan.txt").write_text("".join(f"{fault}\n" for fault in plan))
    async with started_run(config.folder, config.size, seed) as run:
        started = time.monotonic()
        run.start_load()
        await asyncio.gather(
            _restart_lives(run, run.rng("restarts"), seconds),
            *(_inject_at(fault.at, run, fault) for fault in plan),
        )
        await asyncio.sleep(max(0.0, started + seconds - time.monotonic()))
        await run.settle()
        await check_invariants(run)
        return make_report(run, "storm", time.monotonic() - started)


async def _inject_at(seconds: float, run: Run, fault: Fault) -> None:
    await asyncio.sleep(seconds)
    await inject(run.fleet, fault)


async def _restart_lives(run: Run, rng: random.Random, seconds: float) -> None:
    """Restart the live session of one room in four, in the middle of the storm."""
    rooms = rng.sample(run.rooms, len(run.rooms) // 4)

    async def restart(room: RoomLoad, at: float) -> None:
        await asyncio.sleep(at)
        await restart_live(room)

    await asyncio.gather(*(restart(room, rng.uniform(0.2, 0.7) * seconds) for room in rooms))


SCENARIO = Scenario(storm, "all kinds of faults at once, by a seeded plan", SIZE, 60)
