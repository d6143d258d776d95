"""Dependencies of the handlers: the groups built by the container, and the settings."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from config.settings import Settings
from core.limits import ConcurrencyLimit, Rate, RefusalDelay, TokenBuckets
from handlers.limits import REFUSED_CALLBACKS, RequestLimits
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

REFUSAL_SECONDS, MAX_HELD_REFUSALS = 1.0, 500
"""How long on average a request over its rate limit waits for the refusal, and how many do."""
REPEATED_REFUSALS = Rate(0.5, 5)
"""Refusals of one user or address that wait no longer than that. A client with many connections
would otherwise be refused on each of them every second."""


@dataclass(slots=True)
class Lifecycle:
    """Requests and sockets in progress, and whether the process is draining."""

    draining: bool = False
    connections: set[asyncio.Task[None]] = field(default_factory=set)
    """Open sockets."""
    requests: int = 0
    """Requests in progress."""

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Counts a request while it is in progress."""
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1


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
    handshake_limit: TokenBuckets = field(init=False)
    """By address; phones share addresses, so it keeps out floods and nothing finer."""
    join_limit: ConcurrencyLimit = field(init=False)
    request_limits: RequestLimits = field(init=False)
    refused_callback_limit: TokenBuckets = field(init=False)
    refusal_delay: RefusalDelay = field(init=False)
    lifecycle: Lifecycle = field(default_factory=Lifecycle)

    def __post_init__(self) -> None:
        limits = self.settings.limits
        handshakes = Rate(limits.handshakes_per_second, limits.handshakes_per_second)
        self.handshake_limit = TokenBuckets(handshakes)
        self.join_limit = ConcurrencyLimit(CONCURRENT_JOINS, JOIN_QUEUE_SECONDS)
        self.request_limits = RequestLimits(limits, self.metrics)
        self.refused_callback_limit = TokenBuckets(REFUSED_CALLBACKS)
        self.refusal_delay = RefusalDelay(REFUSAL_SECONDS, MAX_HELD_REFUSALS, REPEATED_REFUSALS)
