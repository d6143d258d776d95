"""Processes that die, or get too little CPU time."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from chaos.alert_faults.environment import AlertEnvironment, none, some

LAG = "qlive_loop_lag_seconds"
UP_SECONDS, DOWN_SECONDS = 1.0, 3.0
RUNS_SECONDS, STOPPED_SECONDS = 0.015, 0.15
"""Turns of a throttled process; it measures the delay of a sleep of 20 ms."""
LATE_SECONDS = 0.1


@asynccontextmanager
async def process_killed_twice(env: AlertEnvironment) -> AsyncIterator[None]:
    """The second time while the scrapes are recorded, and for longer."""
    await _kill(env, 0)

    async def kill_again() -> None:
        await asyncio.sleep(UP_SECONDS)
        await _kill(env, DOWN_SECONDS)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(kill_again())
        yield


@asynccontextmanager
async def process_throttled(env: AlertEnvironment) -> AsyncIterator[None]:
    """It gets a tenth of a core, as in a container with a CPU limit."""
    async with _meanwhile(_throttle(env.fleet.nodes[-1].program.pid or 0)):
        await env.wait_for_metric(LAG, some(LATE_SECONDS))
        yield
    await env.wait_for_metric(LAG, none(LATE_SECONDS))


async def _kill(env: AlertEnvironment, seconds: float) -> None:
    """Kill a server, and start it again after so long."""
    node = env.fleet.nodes[-1]
    node.kill()
    await asyncio.sleep(seconds)
    node.program.release()
    await env.fleet.wait_ready(node)


async def _throttle(pid: int) -> None:
    try:
        while True:
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(STOPPED_SECONDS)
            os.kill(pid, signal.SIGCONT)
            await asyncio.sleep(RUNS_SECONDS)
    finally:
        os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def _meanwhile(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
