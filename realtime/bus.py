"""Bus message types, the base of both buses, and the bus of a single process."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from realtime.close_codes import CloseCode

log = structlog.get_logger("qlive.bus")


@dataclass(frozen=True, slots=True)
class EventPublished:
    """One saved room event, framed once. Best effort: may be lost, duplicated or late."""

    live_id: int
    epoch: str
    seq: int
    frame: bytes
    last: bool
    """The event ends the live session."""
    saved_at: float = 0.0
    """Unix seconds."""


@dataclass(frozen=True, slots=True)
class AudienceChanged:
    """The audience count of a room may have changed."""

    live_id: int


@dataclass(frozen=True, slots=True)
class UserEvicted:
    """Closes a user's socket in one room, or (None) in every room.

    With a `number`, only a socket with that number or a lower one is closed: the message may arrive
    after the user has reconnected.
    """

    user_id: str
    live_id: int | None
    code: CloseCode
    number: int | None = None


@dataclass(frozen=True, slots=True)
class ConnectionOpened:
    """A user opened a socket; it replaces lower-numbered ones of the same epoch."""

    live_id: int
    epoch: str
    user_id: str
    number: int


@dataclass(frozen=True, slots=True)
class TokenRevoked:
    """An access token was revoked; `token_id` is its hash."""

    token_id: str


@dataclass(frozen=True, slots=True)
class CatalogueChanged:
    """Operators changed data cached in memory: gifts or configs."""


BusMessage = (
    EventPublished
    | AudienceChanged
    | UserEvicted
    | ConnectionOpened
    | TokenRevoked
    | CatalogueChanged
)
BusListener = Callable[[BusMessage], None]


class Bus:
    """Publish/subscribe between the hubs of all processes.

    Listeners in this process are called synchronously; other processes receive a message soon or,
    after a failure, not at all (see `gaps`).
    """

    def __init__(self) -> None:
        self.healthy = False
        self.gaps = 0
        """Incremented whenever messages may have been missed."""
        self.latency_ms: float | None = None
        self._listeners: list[BusListener] = []

    @property
    def waiting(self) -> int:
        """Messages that wait to be sent to other processes."""
        return 0

    def subscribe(self, listener: BusListener) -> None:
        self._listeners.append(listener)

    def publish(self, message: BusMessage) -> None:
        """Never blocks, never raises."""
        for listener in self._listeners:
            try:
                listener(message)
            except Exception:  # a failing listener must fail neither bus nor publisher
                log.exception("bus_listener_failed", kind=type(message).__name__)

    async def subscribe_room(self, live_id: int) -> None:
        """Subscribe to a room; returns once confirmed, or unconfirmed after a short timeout."""

    def unsubscribe_room(self, live_id: int) -> None:
        """Messages of the room need not be delivered any more."""

    async def close(self) -> None:
        """Call once it is not used any more."""


class LocalBus(Bus):
    """Bus of a single process.

    It is not `healthy` while other processes use the database, which receive no message.
    """

    def __init__(self) -> None:
        super().__init__()
        self.healthy = True

    def note_other_processes(self, count: int) -> None:
        """`count` other processes use the database; logged when the first of them comes."""
        if count and self.healthy:
            note = (
                "Processes of one database need redis.url to receive each other's events at once."
            )
            log.warning("redis_not_configured", other_processes=count, note=note)
        self.healthy = not count
