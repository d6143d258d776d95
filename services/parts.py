"""The parts of a process, on which services are built."""

from dataclasses import dataclass, field

from config.settings import Settings
from core.limits import NamedLocks
from realtime.bus import Bus
from realtime.hub import Hub
from services.jobs.outbox_jobs import OutboxLanes
from services.room_changes import RoomChanges
from storage.database import Database
from storage.stores import Stores
from telemetry.metrics import Metrics
from tencent.clients import TencentClients


@dataclass(kw_only=True)
class Parts:
    """One of each for a process; a service reads those that it needs when it is built."""

    settings: Settings
    process_id: str
    """Identifies this process among all server processes for its lifetime."""
    metrics: Metrics
    database: Database
    stores: Stores
    tencent: TencentClients
    bus: Bus
    hub: Hub
    room_changes: RoomChanges
    lanes: OutboxLanes
    locks: NamedLocks = field(default_factory=NamedLocks)
    """Serialise work on the same user."""
