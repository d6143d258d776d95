"""Reports this process, for the operators' view of the fleet."""

import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime

from core.process_report import ProcessReport, Readings
from core.version import build
from handlers.context import Context


def reporter(context: Context, address: str, worker: int | None) -> Callable[[], ProcessReport]:
    """A function that reads the present values, from memory only."""
    machine = context.settings.server.machine or socket.gethostname()
    version, started_at = build(), datetime.now(UTC)

    def report() -> ProcessReport:
        return ProcessReport(
            machine=machine,
            worker=worker,
            pid=os.getpid(),
            address=address,
            version=version,
            started_at=started_at,
            draining=context.lifecycle.draining,
            readings=_readings(context),
        )

    return report


def _readings(context: Context) -> Readings:
    hub, relay = context.realtime.hub, context.services.im_relay
    return Readings(
        loop_lag_ms=round(context.metrics.loop_lag * 1000, 1),
        sockets=hub.open,
        rooms=len(hub.channels),
        requests=context.lifecycle.requests,
        joins_waiting=context.join_limit.waiting,
        slow_clients=hub.slow,
        rooms_behind=hub.behind,
        relay_waiting=relay.waiting if relay else 0,
        bus_waiting=context.realtime.bus.waiting,
    )
