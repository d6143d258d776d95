"""What a process reports of itself with each renewal of its lease."""

from dataclasses import dataclass
from datetime import datetime


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
