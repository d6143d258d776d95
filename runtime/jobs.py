"""Periodic jobs of a serving process, and their intervals."""

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import structlog

from core.clock import now_ms
from handlers.context import Context
from handlers.health import readiness
from ledger.recharge import Order
from realtime.bus import LocalBus
from realtime.redis_bus import RedisBus
from runtime.gc_tuning import GcTuner
from runtime.periodic import PeriodicTasks
from services import session_check
from services.membership_reconciler import MembershipReconciler
from services.session_check import OpenSessionCheck
from services.unpaid_orders import NORMAL_OUTCOMES

log = structlog.get_logger("qlive.jobs")

LAG_SECONDS = 0.02
SLOW_CLIENT_INTERVAL = 0.25
SILENT_INTERVAL = 60.0
DEPENDENCIES_SECONDS, OUTBOX_AGE_SECONDS = 5.0, 10.0
REPORT_SECONDS = 5.0


def start_jobs(tasks: PeriodicTasks, context: Context) -> None:
    """Start all jobs but those that must outlive the requests."""
    every, hub, presence = tasks.every, context.realtime.hub, context.realtime.presence
    lease = context.settings.presence.lease_seconds
    every(context.settings.realtime.check_seconds, "check", hub.check)
    every(1, "audience", lambda: hub.send_audience_counts(context.stores.members.counts))
    every(1, "heartbeat", lambda: _send_heartbeats(context))
    every(SLOW_CLIENT_INTERVAL, "slow_clients", lambda: _close_slow_clients(context))
    every(1, "expiry", lambda: _expire(context))
    every(0.5, "gc", GcTuner(lambda: hub.open).run)
    every(0.5, "lag", lambda: _measure_lag(context))
    every(DEPENDENCIES_SECONDS, "dependencies", lambda: _watch_dependencies(context))
    every(OUTBOX_AGE_SECONDS, "outbox_age", lambda: _measure_outbox(context))
    every(0.2, "flush_disconnects", presence.flush)
    every(0.5, "absences", presence.process_absences)
    every(lease / 3, "sweep", context.realtime.lease.sweep)
    every(SILENT_INTERVAL, "silent", presence.mark_silent_away)
    every(0.5, "evictions", context.services.evictions.receive)
    every(session_check.INTERVAL, "sessions", _session_check(context).run)
    every(1, "memberships", _membership_reconciler(context).check)
    for lane in context.services.unpaid_orders.lanes:
        every(5, f"orders_{lane}", functools.partial(_sweep_orders, context, lane))
    every(2, "open_transfers", context.services.open_transfers.sweep)
    every(2, "refund_cases", context.services.refund_sweep.sweep)
    every(10, "refund_figures", context.services.refund_sweep.measure)
    every(10, "withdrawal_figures", context.services.withdrawal_reports.measure)
    every(10, "retention", lambda: _delete_old_rows(context))
    every(10, "ledger_audit", context.services.ledger_audit.run_if_due)
    tasks.until_stopped("im_outbox", context.services.im_outbox.run)
    tasks.until_stopped("im_safety_outbox", context.services.im_safety_outbox.run)
    tasks.until_stopped("group_outbox", context.services.group_outbox.run)
    tasks.until_stopped("css_outbox", context.services.css_outbox.run)
    tasks.until_stopped("css_safety_outbox", context.services.css_safety_outbox.run)
    if context.services.im_relay:
        tasks.until_stopped("im_relay", context.services.im_relay.run)


def start_lease_and_bus(
    tasks: PeriodicTasks, context: Context, report: Callable[[], Awaitable[None]]
) -> None:
    """Start the jobs that must outlive the requests; `report` stores a report for operators.

    A process that drained without a lease would be presumed dead while it serves.
    """
    lease = context.settings.presence.lease_seconds
    # With the default back-off, the lease would lapse after the first failure.
    tasks.every(lease / 3, "lease", context.realtime.lease.renew, retry=lease / 15)
    tasks.every(REPORT_SECONDS, "report", report)
    bus = context.realtime.bus
    if isinstance(bus, LocalBus):
        tasks.every(lease / 3, "other_processes", lambda: _look_for_others(context, bus))
    if isinstance(bus, RedisBus):
        tasks.until_stopped("bus_receive", bus.receive)
        tasks.until_stopped("bus_send", bus.send_published)


async def _look_for_others(context: Context, bus: LocalBus) -> None:
    """Not before leases of processes that ended before this one's start have lapsed."""
    if context.realtime.lease.held_for_full_term:
        bus.note_other_processes(await context.stores.presence.other_processes(context.process_id))


def _membership_reconciler(context: Context) -> MembershipReconciler:
    return MembershipReconciler(
        context.realtime,
        context.stores.presence,
        context.services.evictions,
        context.services.room_access,
        process_id=context.process_id,
        lease_seconds=context.settings.presence.lease_seconds,
    )


def _session_check(context: Context) -> OpenSessionCheck:
    return OpenSessionCheck(context.realtime.hub, context.stores.tokens, context.stores.users)


async def _send_heartbeats(context: Context) -> None:
    settings = context.settings.realtime
    context.realtime.hub.send_heartbeats(
        time.monotonic(), every=settings.heartbeat_seconds, silent=settings.silent_seconds
    )


async def _close_slow_clients(context: Context) -> None:
    """Close slow clients within the configured time, even if a run is late."""
    limit = context.settings.limits.backlog_seconds
    context.realtime.hub.disconnect_slow(
        time.monotonic(), limit - min(2 * SLOW_CLIENT_INTERVAL, limit / 2)
    )


async def _expire(context: Context) -> None:
    """Make an empty change to each due room: the keeper expires before any change."""
    due = await context.stores.rooms.due(now_ms())
    changes = (context.keeper.change(live_id, lambda _room: None) for live_id in due)
    for outcome in await asyncio.gather(*changes, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome  # after all other rooms were handled


async def _sweep_orders(context: Context, lane: str) -> None:
    def report(order: Order, outcome: str) -> None:
        if outcome not in NORMAL_OUTCOMES:
            source = f"{order.provider}_query"
            context.metrics.callbacks_refused.labels(source, outcome).inc()

    await context.services.unpaid_orders.sweep(lane, report)


async def _delete_old_rows(context: Context) -> None:
    for kind, count in (await context.services.retention.run_if_due()).items():
        context.metrics.old_rows_deleted.labels(kind).inc(count)


async def _measure_lag(context: Context) -> None:
    """Measure how late the event loop resumes a sleeping task."""
    before = time.perf_counter()
    await asyncio.sleep(LAG_SECONDS)
    lag = time.perf_counter() - before - LAG_SECONDS
    context.metrics.loop_lag = max(0.0, lag)


async def _watch_dependencies(context: Context) -> None:
    """Show the states of /readyz in the metrics, those of idle services as unknown.

    Otherwise a process that does not use a service any more would hide its outage.
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
