"""Dependencies of the handlers: the groups built by the container, and the settings."""

import asyncio
from dataclasses import dataclass, field

from config.settings import Settings
from core.limits import ConcurrencyLimit, Rate, TokenBuckets
from handlers.limits import RequestLimits
from realtime.bus import Bus
from realtime.hub import Hub
from services.room_changes import RoomChanges
from services.services import Services
from storage.database import Database
from storage.stores import Stores
from telemetry.metrics import Metrics
from tencent.clients import TencentClients

CONCURRENT_JOINS = 256
"""Sockets that may join at the same time; the queries of more would delay those of calls. Joins
share their queries, except that of a room's log, which is one for each room and position."""
JOIN_QUEUE_SECONDS = 30.0
"""Maximum wait to join. 10,000 clients of a process that died need it on a slow machine."""

REFUSED_CALLBACKS = Rate(0.2, 5)
"""Rate at which unverified callbacks of one address are stored. Genuine ones, signed with a new key
that is not configured yet, are among the first."""


@dataclass(slots=True)
class Lifecycle:
    """Requests and sockets in progress, and whether the process is draining."""

    draining: bool = False
    connections: set[asyncio.Task[None]] = field(default_factory=set)
    """Open sockets."""
    requests: int = 0
    """Requests in progress."""


@dataclass(slots=True)
class Context:
    """Everything that handlers and jobs may use; one for each process."""

    settings: Settings
    metrics: Metrics
    database: Database
    stores: Stores
    tencent: TencentClients
    bus: Bus
    hub: Hub
    room_changes: RoomChanges
    services: Services
    process_id: str
    """Identifies this process among all server processes for its lifetime."""
    join_limit: ConcurrencyLimit = field(init=False)
    request_limits: RequestLimits = field(init=False)
    refused_callback_limit: TokenBuckets = field(init=False)
    lifecycle: Lifecycle = field(default_factory=Lifecycle)

    def __post_init__(self) -> None:
        self.join_limit = ConcurrencyLimit(CONCURRENT_JOINS, JOIN_QUEUE_SECONDS)
        self.request_limits = RequestLimits(self.settings.limits.factor, self.metrics)
        self.refused_callback_limit = TokenBuckets(REFUSED_CALLBACKS)
