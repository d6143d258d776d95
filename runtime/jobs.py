"""Periodic jobs of a serving process, their intervals, and the tasks that repeat them."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import structlog

from core.clock import now_ms
from handlers.context import Context
from handlers.health import readiness
from realtime.redis_bus import RedisBus
from runtime.gc_tuning import GcTuner
from services.doctor.arrivals import FLUSH_SECONDS
from services.jobs.claimed_jobs import JobRunner
from services.rooms.room_access import RECONCILE_SECONDS, SocketReconciler
from telemetry.metrics import OpenWork

log = structlog.get_logger("qlive.jobs")

LAG_SECONDS = 0.02
CLIENTS_INTERVAL = 0.5
BACKLOG_SECONDS = 10.0
"""A client with unsent data for so long is closed."""
METRICS_SECONDS = 5.0
STATUS_SECONDS = 5.0
MAX_DELAY = 10.0
GRACE_SECONDS = 4.0
"""Commands to a MongoDB that is down end before, since a cancellation may leave a lock taken: see
`Database.timeout`."""
MAX_CANCELLATIONS, CANCEL_INTERVAL = 10, 0.5
"""In an interval, cancelled work aborts its transactions and gives back what it has claimed."""


async def run_all(*work: Awaitable[object]) -> None:
    """Wait for all, then raise the first error: a failure delays none of the others."""
    for outcome in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


class PeriodicTasks:
    """Tasks that run until `stop`; only the first of consecutive failures is logged."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()

    def every(
        self,
        seconds: float,
        name: str,
        work: Callable[[], Awaitable[object]],
        *,
        retry: float | None = None,
    ) -> None:
        """Run `work` periodically; while it fails, every `retry` seconds or with back-off."""
        self._start(name, self._run_periodically(seconds, name, work, retry))

    def until_stopped(
        self, name: str, work: Callable[[asyncio.Event], Coroutine[Any, Any, None]]
    ) -> None:
        """Run a coroutine that returns when its argument, the stop event, is set."""
        self._start(name, work(self._stopping))

    async def stop(self) -> None:
        """Let running work finish for GRACE_SECONDS, then cancel it.

        Cancels repeatedly if needed: PyMongo, while it connects, turns a cancellation into an
        error of its own, which the task then survives.
        """
        self._stopping.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=GRACE_SECONDS)
        for _ in range(MAX_CANCELLATIONS):
            pending = [task for task in self._tasks if not task.done()]
            if not pending:
                break
            for task in pending:
                task.cancel()
            await asyncio.wait(pending, timeout=CANCEL_INTERVAL)
        self._tasks.clear()

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work, name=name))

    async def _run_periodically(
        self,
        seconds: float,
        name: str,
        work: Callable[[], Awaitable[object]],
        retry: float | None,
    ) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                await work()
                if failures:
                    log.info("job_recovered", job=name, failures=failures)
                failures = 0
            except Exception as error:  # noqa: BLE001 - a failure must not end the task
                failures += 1
                if failures == 1:
                    why = f"{type(error).__name__}: {error}"
                    log.warning("job_failed", job=name, error=why)
            delay = max(seconds, min(MAX_DELAY, seconds * min(failures + 1, 4)))
            with suppress(TimeoutError):
                async with asyncio.timeout(retry if failures and retry else delay):
                    await self._stopping.wait()


def start_jobs(tasks: PeriodicTasks, context: Context) -> None:
    """Start all jobs but those that must outlive the requests."""
    every, hub, services = tasks.every, context.hub, context.services
    rooms = services.rooms
    gc_tuner = GcTuner(lambda: hub.open_count)
    every(context.settings.realtime.check_seconds, "check", hub.backfills.check)
    every(context.settings.realtime.check_seconds, "check_users", hub.backfills.check_users)
    channels = services.accounts.channels
    every(1, "audience", lambda: hub.send_transient("audience", rooms.access.audiences))
    every(1, "balance", lambda: hub.send_transient("balance", channels.balances))
    every(1, "where", lambda: hub.send_transient("where", channels.places))
    every(CLIENTS_INTERVAL, "clients", lambda: _watch_clients(context, gc_tuner))
    every(0.5, "lag", lambda: measure_lag(context))
    every(1, "flush_chat", context.stores.chat_lines.flush)
    every(1, "flush_visits", context.stores.visits.flush)
    every(1, "flush_departures", context.stores.renewals.flush)
    every(0.2, "flush_disconnects", lambda: run_all(rooms.presence.flush(), channels.flush()))
    every(0.5, "due_rooms", lambda: _expire(context))
    reconciler = SocketReconciler(
        context.bus,
        hub,
        rooms.presence.lease,
        context.stores,
        services.accounts.evictions,
        rooms.access,
    )
    every(RECONCILE_SECONDS, "sockets", reconciler.run)
    every(rooms.presence.lease.seconds / 3, "away", lambda: _mark_away(context))
    every(METRICS_SECONDS, "metrics", lambda: measure_metrics(context))
    every(10, "ledger_audit", services.gold.audit.run_if_due)
    every(FLUSH_SECONDS, "arrivals", services.arrivals.run)
    if context.settings.environment == "production":  # the simulator forgets its orders
        every(10, "bills", services.payments.bills.run_if_due)
    tasks.until_stopped("claimed", JobRunner(*services.claimed_jobs).run)
    if services.chat.relay:
        tasks.until_stopped("im_relay", JobRunner(services.chat.relay).run)


def start_lease_and_bus(
    tasks: PeriodicTasks, context: Context, store_status: Callable[[], Awaitable[None]]
) -> None:
    """Start the jobs that must outlive the requests; `store_status` is for operators.

    A process that drained without a lease would be presumed dead while it serves.
    """
    lease = context.services.rooms.presence.lease.seconds
    # With the default back-off, the lease would lapse after the first failure.
    tasks.every(lease / 3, "lease", context.services.rooms.presence.lease.renew, retry=lease / 15)
    tasks.every(STATUS_SECONDS, "status", store_status)
    bus = context.bus
    if isinstance(bus, RedisBus):
        tasks.until_stopped("bus_receive", bus.receive)


async def _watch_clients(context: Context, gc_tuner: GcTuner) -> None:
    """Send heartbeats, close silent and slow clients, and freeze new sockets."""
    settings, hub, now = context.settings.realtime, context.hub, time.monotonic()
    hub.send_heartbeats(now, every=settings.heartbeat_seconds, silent=settings.silent_seconds)
    hub.disconnect_slow(now, BACKLOG_SECONDS - 2 * CLIENTS_INTERVAL)  # kept even if a run is late
    gc_tuner.run()


async def _expire(context: Context) -> None:
    """Make an empty change to each due room: `RoomChanges` expires before any change."""
    due = await context.stores.rooms.due(now_ms())
    await run_all(*(context.room_changes.change(live_id, lambda _room: None) for live_id in due))


async def _mark_away(context: Context) -> None:
    """Mark members away who are silent, or whose process is dead."""
    await run_all(
        context.services.rooms.presence.lease.sweep(),
        context.services.rooms.presence.mark_silent_away(),
        look_for_others(context),
    )


async def look_for_others(context: Context) -> None:
    """Look for other processes, once earlier leases have lapsed.

    These are leases of processes that ended before this one's start.
    """
    bus = context.bus
    if not isinstance(bus, RedisBus) and context.services.rooms.presence.lease.held_for_full_term:
        bus.note_other_processes(await context.stores.presence.other_processes(context.process_id))


async def measure_lag(context: Context) -> None:
    """Measure how late the event loop resumes a sleeping task."""
    before = time.perf_counter()
    await asyncio.sleep(LAG_SECONDS)
    lag = time.perf_counter() - before - LAG_SECONDS
    context.metrics.loop_lag = max(0.0, lag)


async def measure_metrics(context: Context) -> None:
    """Read the figures of the database and of other services that /metrics shows."""
    metrics, stores = context.metrics, context.stores

    async def show(gauges: OpenWork, counts: Awaitable[Sequence[Any]]) -> None:
        gauges.show(*await counts)

    await run_all(
        _watch_dependencies(context),
        _measure_outbox(context),
        show(metrics.withdrawals, stores.withdrawals.open_counts()),
        show(metrics.refunds, stores.refund_cases.open_counts()),
        show(metrics.moderation, stores.moderation.open_counts()),
    )


async def _watch_dependencies(context: Context) -> None:
    """Show the states of /readyz in the metrics, those of idle services as unknown.

    This keeps a process that does not use a service any more from hiding its outage.
    """
    gauge = context.metrics.dependency_up
    idle = {service.name for service in context.tencent.services if not service.is_fresh}
    dependencies = (await readiness(context)).dependencies
    if "redis" not in dependencies:
        gauge.remove("redis")  # without redis.url it is down only beside other processes
    for name, dependency in dependencies.items():
        if dependency.state == "unknown" or name in idle:
            gauge.remove(name)
        else:
            gauge.labels(name).set(dependency.state == "ok")


async def _measure_outbox(context: Context) -> None:
    oldest = await context.stores.outbox.oldest()
    age = (datetime.now(UTC) - oldest).total_seconds() if oldest else 0.0
    context.metrics.outbox_oldest_seconds.set(max(0.0, age))
