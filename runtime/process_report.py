"""Reports of this process, for the operators' view of the fleet and the console's charts."""

import os
import socket
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from core.version import build
from handlers.context import Context
from storage.fleet import ProcessReport, Readings


def reporter(context: Context, address: str) -> Callable[[], Awaitable[None]]:
    """A function that stores the present values, and what was done since its last call."""
    machine = context.settings.server.machine or socket.gethostname()
    version, started_at = build(), datetime.now(UTC)
    reported_at, events = time.monotonic(), 0

    async def report() -> None:
        nonlocal reported_at, events
        now, delivered = time.monotonic(), context.realtime.hub.events_delivered
        readings = _readings(context, delivered - events, now - reported_at)
        reported_at, events = now, delivered
        await context.stores.fleet.add_report(
            context.process_id,
            ProcessReport(
                machine=machine,
                pid=os.getpid(),
                address=address,
                version=version,
                started_at=started_at,
                draining=context.lifecycle.draining,
                readings=readings,
            ),
        )

    return report


def _readings(context: Context, events: int, seconds: float) -> Readings:
    """`events` were delivered within the last `seconds`."""
    hub, relay = context.realtime.hub, context.services.im_relay
    activity = context.metrics.take_activity()
    return Readings(
        loop_lag_ms=_ms(context.metrics.loop_lag),
        sockets=hub.open,
        rooms=len(hub.channels),
        requests=context.lifecycle.requests,
        joins_waiting=context.join_limit.waiting,
        slow_clients=hub.slow,
        rooms_behind=hub.behind,
        relay_waiting=relay.waiting if relay else 0,
        bus_waiting=context.realtime.bus.waiting,
        requests_rate=activity.requests / seconds,
        refused_rate=activity.refused / seconds,
        failed_rate=activity.failed / seconds,
        events_rate=events / seconds,
        slowest_request_ms=_ms(activity.slowest_request),
        slowest_delivery_ms=_ms(activity.slowest_delivery),
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
