"""Bus messages with their encoding, and the bus of a single process."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import structlog

from realtime import frames
from realtime.frames import CloseCode, Key
from rooms.events import LAST_EVENT_TYPE, NumberedEvent

log = structlog.get_logger("qlive.bus")

Part = Literal["events", "audience", "balance", "where"]
"""Part of what a channel shows: its numbered events, or a type that is sent without a number."""


@dataclass(frozen=True, slots=True)
class EventPublished:
    """One saved event, framed once. Best effort: may be lost, duplicated or late."""

    key: Key
    epoch: str
    seq: int
    frame: bytes
    last: bool
    """The event ends the live session."""
    saved_at: float = 0.0
    """Unix seconds."""

    @classmethod
    def of(cls, key: Key, event: NumberedEvent, saved_at: float | None = None) -> Self:
        """Frame a saved event for all sockets; `saved_at` defaults to the event's own time."""
        frame, last = frames.event(key, event), event.type == LAST_EVENT_TYPE
        saved_seconds = event.ts / 1000 if saved_at is None else saved_at
        return cls(key, event.epoch, event.seq, frame, last, saved_seconds)


@dataclass(frozen=True, slots=True)
class ChannelChanged:
    """Part of what a channel shows may have changed in the database."""

    key: Key
    part: Part


@dataclass(frozen=True, slots=True)
class UserEvicted:
    """Closes a user's socket in one room, or (None) all sockets of the user.

    Sockets with a higher `number` stay open: the message may arrive after the user has reconnected.
    """

    user_id: str
    live_id: int | None
    code: CloseCode
    number: int


@dataclass(frozen=True, slots=True)
class ConnectionOpened:
    """A user opened a socket; those of the user in the channel below `number` are replaced.

    In a room, that is the number of the socket; in the user channel, of the oldest that may stay.
    """

    key: Key
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


@dataclass(frozen=True, slots=True)
class LiveStarted:
    """A live began that followers of its host may enter."""

    live_id: int


@dataclass(frozen=True, slots=True)
class WebhooksChanged:
    """The endpoints of webhooks, which are cached in memory, have changed."""


BusMessage = (
    EventPublished
    | ChannelChanged
    | UserEvicted
    | ConnectionOpened
    | TokenRevoked
    | CatalogueChanged
    | LiveStarted
    | WebhooksChanged
)

MESSAGE_TYPES: dict[str, type[BusMessage]] = {kind.__name__: kind for kind in get_args(BusMessage)}


class Bus:
    """Publish/subscribe between the hubs of all processes; this one is for a single process.

    Other processes receive a message soon or, after a failure, not at all (see `gaps`). Not
    `healthy` while it does not reach all of them.
    """

    def __init__(self) -> None:
        self.healthy = True
        self.gaps = 0
        """Incremented whenever messages may have been missed."""
        self.latency_ms: float | None = None
        self._listeners: dict[type[BusMessage], list[Callable[[Any], None]]] = {
            kind: [] for kind in MESSAGE_TYPES.values()
        }

    @property
    def waiting(self) -> int:
        """Messages that wait to be sent to other processes."""
        return 0

    def cache_version(self) -> int | None:
        """Return `gaps`, or None while not `healthy`, for a cache that messages invalidate."""
        return self.gaps if self.healthy else None

    def subscribe(self, listener: Callable[[Any], None], *kinds: type[BusMessage]) -> None:
        """Call `listener` with every message of these kinds, or of all."""
        for kind in kinds or MESSAGE_TYPES.values():
            self._listeners[kind].append(listener)

    def publish(self, message: BusMessage) -> None:
        """Publish a message; never blocks, never raises."""
        self.deliver(message)

    def deliver(self, message: BusMessage) -> None:
        """Call the listeners in this process."""
        for listener in self._listeners[type(message)]:
            try:
                listener(message)
            except Exception:  # a failing listener must fail neither bus nor publisher
                log.exception("bus_listener_failed", kind=type(message).__name__)

    async def open_channel(self, key: Key) -> None:
        """Subscribe to a room or a user; return once confirmed, or after a short timeout."""

    def close_channel(self, key: Key) -> None:
        """Unsubscribe: messages to this channel need not be delivered any more."""

    async def close(self) -> None:
        """Close the connections to Redis, if any."""

    def note_other_processes(self, count: int) -> None:
        """Note that `count` other processes use the database; log when the first of them comes."""
        if count and self.healthy:
            note = "Processes of one database need redis.url to receive events at once."
            log.warning("redis_not_configured", other_processes=count, note=note)
        self.healthy = not count


def channel_of(message: BusMessage) -> Key | None:
    """Return whose subscribers receive the message; None for every process.

    The end of a live concerns members anywhere: they are in no room any more.
    """
    match message:
        case EventPublished(last=False) | ChannelChanged() | ConnectionOpened():
            return message.key
        case UserEvicted():
            return message.live_id
    return None


def pack(sender: str, message: BusMessage) -> bytes:
    """Encode a message as one line of JSON, followed by the frame of an event."""
    fields = {name: getattr(message, name) for name in message.__slots__}
    frame: bytes = fields.pop("frame", b"")
    line = json.dumps([sender, type(message).__name__, fields], separators=(",", ":"))
    return line.encode() + b"\n" + frame


def unpack(data: bytes) -> tuple[str, BusMessage] | None:
    """Decode (sender, message); return None if malformed, or written by another version."""
    line, _, frame = data.partition(b"\n")
    try:
        sender, name, fields = json.loads(line)
        if "code" in fields:
            fields["code"] = CloseCode(fields["code"])
        if MESSAGE_TYPES[name] is EventPublished:
            fields["frame"] = frame
        return str(sender), MESSAGE_TYPES[name](**fields)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
