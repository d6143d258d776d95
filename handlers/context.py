"""Dependencies of the handlers: the parts of the process, its services, and limits of requests."""

import asyncio
from dataclasses import dataclass, field

from core.limits import ConcurrencyLimit, Rate, TokenBuckets
from handlers.limits import RequestLimits
from services.parts import Parts
from services.services import Services

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


class Context(Parts):
    """Everything that handlers and jobs may use; one for each process."""

    def __init__(self, parts: Parts, services: Services) -> None:
        super().__init__(**vars(parts))
        self.services = services
        self.lifecycle = Lifecycle()
        self.join_limit = ConcurrencyLimit(CONCURRENT_JOINS, JOIN_QUEUE_SECONDS)
        self.request_limits = RequestLimits(parts.settings.limits.factor, parts.metrics)
        self.refused_callback_limit = TokenBuckets(REFUSED_CALLBACKS)
