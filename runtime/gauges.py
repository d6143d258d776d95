"""Metrics that are read at scrape time."""

import time

from handlers.context import Context


def register(context: Context) -> None:
    hub, metrics, lifecycle = context.realtime.hub, context.metrics, context.lifecycle
    gauge, counter = metrics.gauge, metrics.counter
    started_at = time.time()
    gauge("started_at", "Start of the process in Unix seconds.", lambda: started_at)
    gauge("sockets", "Open WebSockets of room members.", lambda: hub.sockets)
    gauge("rooms_here", "Rooms with a socket.", lambda: len(hub.channels))
    counter("events_told", "Events delivered to rooms.", lambda: hub.events_delivered)
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
    description = "Chat groups that were dissolved and replaced."
    counter("groups_replaced", description, lambda: context.services.groups.replaced)
    _register_ledger(context)
    _register_withdrawals(context)
    _register_refunds(context)
    gauge("requests_under_way", "Requests in progress.", lambda: lifecycle.requests)


def _register_ledger(context: Context) -> None:
    gauge, audit = context.metrics.gauge, context.services.ledger_audit

    def last(name: str, field: str, description: str) -> None:
        read = lambda: float(audit.last.get(field, 0))  # noqa: E731
        gauge(name, description, read)

    last("gold", "gold", "Gold of all users.")
    last("income", "income", "Income of all users.")
    last("gold_owed", "owed", "Gold that users owe for refunds.")
    last("income_owed", "owed_income", "Income that users owe for refunds.")
    last("paid_fen", "fen", "Payments minus refunds, in fen.")
    description = "Income held for withdrawals, which is in the balance of nobody."
    last("income_held", "held", description)
    last("withdrawn_fen", "withdrawn_fen", "Withdrawals paid, in fen.")
    last("ledger_problems", "problems", "Problems found by the last check-ledger; -1 if unknown.")
    last("ledger_checked_at", "at", "Start of the last check-ledger in Unix seconds.")
    description = "Age of the oldest unpaid order that may still be paid; of xpay, up to 3 hours."
    gauge("oldest_unpaid_order_seconds", description, lambda: audit.oldest_unpaid)


def _register_withdrawals(context: Context) -> None:
    gauges, reports = context.metrics.gauges, context.services.withdrawal_reports
    gauges(
        "withdrawals_open",
        "Withdrawals that are neither paid nor returned, by state.",
        "state",
        lambda: reports.open.states,
    )
    gauges(
        "oldest_withdrawal_seconds",
        "Longest time that an open withdrawal has been in its state, by state.",
        "state",
        reports.oldest_seconds,
    )
    gauges(
        "transfer_problems",
        "Open transfers whose last call to WeChat Pay failed, by its code.",
        "code",
        lambda: reports.open.problems,
    )


def _register_refunds(context: Context) -> None:
    gauges, sweep = context.metrics.gauges, context.services.refund_sweep
    gauges(
        "refunds_open",
        "Refund cases that are neither closed nor dropped, by state.",
        "state",
        lambda: sweep.figures.states,
    )
    gauges(
        "oldest_refund_seconds",
        "Time since the oldest refund case in progress was confirmed, by state.",
        "state",
        sweep.oldest_seconds,
    )
    gauges(
        "refund_problems",
        "Orders of refund cases whose provider has to be asked again, by problem.",
        "problem",
        lambda: sweep.figures.problems,
    )
