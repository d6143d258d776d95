"""What a process reports of itself with each renewal of its lease."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_type_hints


@dataclass(frozen=True, slots=True)
class Readings:
    """Present values of one process; counts unless the name has a unit."""

    loop_lag_ms: float
    """Last measured delay of the event loop."""
    sockets: int
    """Open sockets, joining and closing ones included."""
    rooms: int
    """Rooms with a socket here."""
    requests: int
    """Requests in progress."""
    joins_waiting: int
    """Sockets that wait for their turn to join."""
    slow_clients: int
    """Sockets with unsent data."""
    rooms_behind: int
    """Rooms whose missed events are being read from the database."""
    relay_waiting: int
    """Rooms that the relay to IM has not stored as due yet."""
    bus_waiting: int
    """Messages that wait to be sent to Redis."""


@dataclass(frozen=True, slots=True)
class ProcessReport:
    """One process; `worker` is its slot in its supervisor, None without one."""

    machine: str
    worker: int | None
    pid: int
    address: str
    """Base URL of its first port, which the workers of a supervisor share."""
    version: str
    started_at: datetime
    draining: bool
    """It finishes its requests and stops."""
    readings: Readings


def read_report(stored: object) -> dict[str, Any]:
    """The known fields of a stored report that have the declared type; others are left out.

    A process of another release may have stored fewer, more, or other ones under the same name.
    """
    if not isinstance(stored, dict):
        return {}
    readings = stored.get("readings")
    nested = {"readings": _typed(Readings, readings)} if isinstance(readings, dict) else {}
    return _typed(ProcessReport, stored) | nested


def _typed(kind: type, stored: dict[str, Any]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {
        name: stored[name]
        for name, hint in hints.items()
        if name in stored and _has_type(stored[name], hint)
    }


def _has_type(value: object, hint: Any) -> bool:
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, int | float if hint is float else hint)
