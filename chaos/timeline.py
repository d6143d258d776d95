"""The events of each live session, merged from all clients, and the operations behind them."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from chaos.report import Violation
from realtime.frames import Key

Frame = dict[str, Any]
CACHED_FRAMES = 2_000
TOLERANCE_MS = 100
"""Between an event's timestamp, which is set before it is saved, and the times of its request."""
UNIQUE = ("gift ", "micro_accept ")
"""Prefixes of keys that belong to a single event."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An acknowledged operation; times are time.time(). `key` identifies its event."""

    live_id: int
    key: str
    started_at: float
    acknowledged_at: float


@dataclass
class Timeline:
    """Events of one live session, or of a user, by sequence number, each as first received.

    `first_seq` is the lowest number of a snapshot: its client receives every later event.
    """

    live_id: Key
    epoch: str
    events: dict[int, Frame] = field(default_factory=dict)
    first_seq: float = math.inf

    @property
    def missing(self) -> int:
        """Number of events up to the last known one that no client received."""
        return int(max(self.events) - self.first_seq) - len(self.events) if self.events else 0

    def accepts(self, frame: Frame) -> bool:
        """Store a new event; False if its number is stored with other content.

        Comparing (type, data) by number covers more than a hash chain over the events: it works
        wherever a client began to listen.
        """
        known = self.events.setdefault(frame["seq"], frame)
        return known is frame or content_of(known) == content_of(frame)


class Timelines:
    """Timelines of all rooms and their live sessions."""

    parse = staticmethod(lru_cache(CACHED_FRAMES)(json.loads))
    """Parse a frame; cached, since all clients of a room receive the same bytes."""

    def __init__(self) -> None:
        self.by_session: dict[tuple[Key, str], Timeline] = {}
        """By (live_id, epoch)."""

    def of(self, key: Key, epoch: str) -> Timeline:
        if (key, epoch) not in self.by_session:
            self.by_session[key, epoch] = Timeline(key, epoch)
        return self.by_session[key, epoch]


def content_of(frame: Frame) -> str:
    return json.dumps([frame["ts"], frame["type"], frame["data"]], sort_keys=True)


def key_of(frame: Frame) -> str:
    """Key that an operation shares with its event; "" for events without an operation."""
    kind, data = frame["type"], frame["data"]
    match kind:
        case "gift":
            return f"gift {data['request_id']}"
        case "micro_accept":
            return f"micro_accept {data['play_url'].partition('?')[0]}"
        case "micro_apply" | "micro_invite" | "micro_refuse" | "micro_leave" | "live_end":
            return f"{kind} {data['user_id']}"
    return ""


def lost_operations(
    operations: Iterable[Operation], timelines: Iterable[Timeline]
) -> Iterator[Violation]:
    """Acknowledged operations without an event."""
    timestamps: dict[tuple[Key, str], list[int]] = {}
    for timeline in timelines:
        for frame in timeline.events.values():
            timestamps.setdefault((timeline.live_id, key_of(frame)), []).append(frame["ts"])
    for operation in operations:
        first = operation.started_at * 1000 - TOLERANCE_MS
        last = operation.acknowledged_at * 1000 + TOLERANCE_MS
        found = timestamps.get((operation.live_id, operation.key), [])
        if not any(first <= timestamp <= last for timestamp in found):
            yield "lost", str(operation)


def duplicate_effects(timelines: Iterable[Timeline]) -> Iterator[Violation]:
    """Operations that took effect twice, because the client repeated its request."""
    counts = Counter(key_of(frame) for timeline in timelines for frame in timeline.events.values())
    for key, count in counts.items():
        if count > 1 and key.startswith(UNIQUE):
            yield "duplicate_effect", f"{key}: {count} events"


def gold_spent(timelines: Iterable[Timeline]) -> Counter[str]:
    """Gold that each user gave away, according to the room events."""
    spent: Counter[str] = Counter()
    for timeline in timelines:
        for frame in timeline.events.values():
            if frame["type"] == "gift":
                spent[frame["data"]["from"]["user_id"]] += frame["data"]["gold"]
    return spent
