"""Dependencies of the handlers: the groups built by the container, and the settings."""

import asyncio
from dataclasses import dataclass, field

from config.settings import Settings
from core.limits import ConcurrencyLimit, Rate, TokenBuckets
from handlers.limits import RequestLimits
from realtime.realtime import Realtime
from rooms.keeper import Keeper
from services.services import Services
from storage.database import Database
from storage.stores import Stores
from telemetry.metrics import Metrics
from tencent.clients import TencentClients

CONCURRENT_JOINS = 256
"""Sockets that join at the same time, so that calls do not wait for queries about thousands. Those
of one room, or that ask for documents by id, share their queries; only reads of a room's log are
one for each room and position."""
JOIN_QUEUE_SECONDS = 30.0
"""Longest wait to join: 10,000 clients of a process that has died, on a slow machine."""

REFUSED_CALLBACKS = Rate(0.2, 5)
"""Forged callbacks of one address that are stored. A callback signed with a new key, which we do
not have yet, is among the first of its address."""


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
    realtime: Realtime
    keeper: Keeper
    services: Services
    process_id: str
    """Identifies this process among all server processes for its lifetime."""
    join_limit: ConcurrencyLimit = field(init=False)
    request_limits: RequestLimits = field(init=False)
    refused_callback_limit: TokenBuckets = field(init=False)
    lifecycle: Lifecycle = field(default_factory=Lifecycle)

    def __post_init__(self) -> None:
        self.join_limit = ConcurrencyLimit(CONCURRENT_JOINS, JOIN_QUEUE_SECONDS)
        self.request_limits = RequestLimits(self.settings.limits, self.metrics)
        self.refused_callback_limit = TokenBuckets(REFUSED_CALLBACKS)
