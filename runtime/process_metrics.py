"""Figures of a process: metrics read at scrape time, and its status, stored every few seconds."""

import os
import resource
import socket
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from core.version import build
from handlers.context import Context
from storage.fleet import ProcessStatus, Readings

LEDGER_FIGURES = {
    "gold": ("gold", "Gold of all users."),
    "income": ("income", "Income of all users."),
    "gold_owed": ("owed", "Gold that users owe for refunds."),
    "income_owed": ("owed_income", "Income that users owe for refunds."),
    "paid_fen": ("fen", "Payments minus refunds, in fen."),
    "income_held": ("held", "Income held for withdrawals, which is in no balance."),
    "withdrawn_fen": ("withdrawn_fen", "Withdrawals paid, in fen."),
    "ledger_problems": ("problems", "Problems found by the last check-ledger; -1 if unknown."),
    "ledger_checked_at": ("at", "Start of the last check-ledger in Unix seconds."),
}
"""Gauges of the last ledger check, with the name in its result."""


def register_gauges(context: Context) -> None:
    hub, metrics, lifecycle = context.hub, context.metrics, context.lifecycle
    gauge, counter = metrics.gauge, metrics.counter
    started_at = time.time()
    gauge("started_at", "Start of the process in Unix seconds.", lambda: started_at)
    gauge(
        "sockets",
        "Joined WebSockets, of rooms or user channels.",
        lambda: hub.socket_count,
    )
    gauge("rooms_with_sockets", "Rooms with a socket.", lambda: hub.room_count)
    counter("events_published", "Events delivered to rooms.", lambda: hub.events_delivered)
    description = "Times that bus messages may have been lost."
    counter("bus_gaps", description, lambda: context.bus.gaps)
    description = "Events found by backfill instead of a bus message."
    counter("backfilled", description, lambda: hub.backfills.events)
    description = "Optimistic-lock and transaction retries."
    counter(
        "conflict_retries",
        description,
        lambda: context.room_changes.conflict_retries + context.database.conflict_retries,
    )
    description = "Chat groups that were dissolved and replaced."
    counter("groups_replaced", description, lambda: context.services.chat.groups.replaced)
    gauge("requests_in_progress", "Requests in progress.", lambda: lifecycle.requests)
    audit, bills = context.services.gold.audit, context.services.payments.bills
    for name, (field, description) in LEDGER_FIGURES.items():
        gauge(name, description, lambda field=field: float(audit.last.get(field, 0)))  # type: ignore[misc]
    description = "Age of the oldest unpaid order that may still be paid; of xpay, up to 3 hours."
    gauge("oldest_unpaid_order_seconds", description, lambda: audit.oldest_unpaid)
    description = "Open differences between WeChat's bills and what is recorded here."
    gauge("bill_differences", description, lambda: float(bills.open_count))
    description = "Time of the last run in which no daily bill was late, in Unix seconds."
    gauge("bill_checked_at", description, lambda: float(bills.last.get("checked_at", 0)))


def status_writer(context: Context, address: str) -> Callable[[], Awaitable[None]]:
    """Return a function that stores the present values, and the counts since its last call."""
    machine, (open_files, _) = socket.gethostname(), resource.getrlimit(resource.RLIMIT_NOFILE)
    version, started_at = build(), datetime.now(UTC)
    stored_at, events = time.monotonic(), 0

    async def store() -> None:
        nonlocal stored_at, events
        now, delivered = time.monotonic(), context.hub.events_delivered
        readings = _readings(context, delivered - events, now - stored_at)
        stored_at, events = now, delivered
        await context.stores.fleet.add_status(
            context.process_id,
            ProcessStatus(
                machine=machine,
                pid=os.getpid(),
                address=address,
                version=version,
                started_at=started_at,
                draining=context.lifecycle.draining,
                readings=readings,
                open_files=open_files,
            ),
        )

    return store


def _readings(context: Context, events: int, seconds: float) -> Readings:
    """Read the process; `events` were delivered within the last `seconds`."""
    hub, relay = context.hub, context.services.chat.relay
    activity = context.metrics.take_activity()
    return Readings(
        loop_lag_ms=_ms(context.metrics.loop_lag),
        sockets=hub.open_count,
        rooms=hub.room_count,
        requests=context.lifecycle.requests,
        joins_waiting=context.join_limit.waiting,
        slow_clients=hub.slow_count,
        rooms_behind=sum(isinstance(key, int) for key in hub.backfills.filling),
        relay_waiting=relay.waiting if relay else 0,
        bus_waiting=context.bus.waiting,
        requests_rate=activity.requests / seconds,
        refused_rate=activity.refused / seconds,
        failed_rate=activity.failed / seconds,
        events_rate=events / seconds,
        slowest_request_ms=_ms(activity.slowest_request),
        slowest_delivery_ms=_ms(activity.slowest_delivery),
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
