"""Workers that die, do not start, or get too little CPU time."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Container, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from chaos.alert_faults.environment import AlertEnvironment, every, none, some
from chaos.procfs import child_pids
from chaos.scrapes import PROCESS_ID

WORKERS = 2
SETTINGS = {"QLIVE_SERVER__WORKERS": str(WORKERS)}
RESTARTS, SERVING, LAG = "qlive_worker_restarts_total", "qlive_workers", "qlive_loop_lag_seconds"
POLL_SECONDS = 0.02
RUNS_SECONDS, STOPPED_SECONDS = 0.015, 0.15
"""Turns of a throttled worker; it measures the delay of a sleep of 20 ms."""
LATE_SECONDS = 0.1


@asynccontextmanager
async def worker_killed(env: AlertEnvironment) -> AsyncIterator[None]:
    restarts = max(await env.values(RESTARTS), default=0)
    os.kill((await _other_workers(env))[0], signal.SIGKILL)
    await env.wait_for_metric(RESTARTS, some(restarts + 1))
    await env.wait_for_metric(SERVING, every(WORKERS))
    yield


@asynccontextmanager
async def worker_not_started(env: AlertEnvironment) -> AsyncIterator[None]:
    """A worker dies, and so does each replacement while it starts."""
    others = await _other_workers(env)
    survivors = {*_workers(env)} - {*others}
    async with _meanwhile(_kill_others(env, survivors)):
        await env.wait_for_metric(SERVING, lambda values: min(values, default=WORKERS) < WORKERS)
        yield
    await env.wait_for_metric(SERVING, every(WORKERS))


@asynccontextmanager
async def worker_throttled(env: AlertEnvironment) -> AsyncIterator[None]:
    """It gets a tenth of a core, as in a container with a CPU limit."""
    pid, *_ = await _other_workers(env)
    async with _meanwhile(_throttle(pid)):
        await env.wait_for_metric(LAG, some(LATE_SECONDS))
        yield
    await env.wait_for_metric(LAG, none(LATE_SECONDS))


def _workers(env: AlertEnvironment) -> list[int]:
    """Process ids of the workers of the first server."""
    return child_pids(env.fleet.nodes[0].program.pid or 0)


async def _other_workers(env: AlertEnvironment) -> list[int]:
    """Those of them that do not answer the scrapes."""
    answering = await env.values(PROCESS_ID)
    return [pid for pid in _workers(env) if pid not in answering]


async def _kill_others(env: AlertEnvironment, survivors: Container[int]) -> None:
    while True:
        for pid in _workers(env):
            if pid not in survivors:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(POLL_SECONDS)


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
