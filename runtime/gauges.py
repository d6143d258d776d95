"""Metrics that are read at scrape time."""

import os
from collections.abc import Callable

from handlers.context import Context


def register(context: Context) -> None:
    hub, metrics, lifecycle = context.realtime.hub, context.metrics, context.lifecycle
    gauge, counter = metrics.gauge, metrics.counter
    gauge("process_id", "Process id of the worker that answers.", os.getpid)
    gauge("sockets", "Open WebSockets of room members.", lambda: hub.sockets)
    gauge("rooms_here", "Rooms with a socket in this process.", lambda: len(hub.channels))
    counter(
        "events_told", "Events delivered to this process's rooms.", lambda: hub.events_delivered
    )
    description = "Times that bus messages may have been lost."
    counter("bus_gaps", description, lambda: context.realtime.bus.gaps)
    counter(
        "hints_filled",
        "Events found by backfill instead of a bus message.",
        lambda: hub.events_backfilled,
    )
    description = "Optimistic-lock and transaction retries."
    counter(
        "conflict_retries",
        description,
        lambda: context.keeper.conflict_retries + context.database.conflict_retries,
    )
    _register_ledger(context)
    gauge("requests_under_way", "Requests in progress.", lambda: lifecycle.requests)


def _register_ledger(context: Context) -> None:
    gauge, audit = context.metrics.gauge, context.services.ledger_audit

    def last(name: str) -> Callable[[], float]:
        return lambda: float(audit.last.get(name, 0))

    gauge("gold", "Gold of all users.", last("gold"))
    gauge("income", "Income of all users.", last("income"))
    gauge("gold_owed", "Gold that users owe for refunds.", last("owed"))
    gauge("paid_fen", "Payments minus refunds, in fen.", last("fen"))
    description = "Problems found by the last check-ledger; -1 if unknown."
    gauge("ledger_problems", description, last("problems"))
    gauge("ledger_checked_at", "Start of the last check-ledger in Unix seconds.", last("at"))
    description = "Age of the oldest unpaid order that may still be paid."
    gauge("oldest_unpaid_order_seconds", description, lambda: audit.oldest_unpaid)
