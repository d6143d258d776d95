"""Acknowledged operations: each must have produced its event, exactly once."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from chaos.timeline import Frame, Timeline
from chaos.violations import Violations

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


def check_lost(
    operations: Iterable[Operation], timelines: Iterable[Timeline], violations: Violations
) -> int:
    """Report acknowledged operations without an event; returns their number."""
    timestamps: dict[tuple[int, str], list[int]] = {}
    for timeline in timelines:
        for frame in timeline.events.values():
            timestamps.setdefault((timeline.live_id, key_of(frame)), []).append(frame["ts"])
    lost = [op for op in operations if not _has_event(op, timestamps.get((op.live_id, op.key), []))]
    for operation in lost:
        violations.add("lost", f"{operation}")
    return len(lost)


def check_duplicates(timelines: Iterable[Timeline], violations: Violations) -> None:
    """Report operations that took effect twice, because the client repeated its request."""
    counts = Counter(key_of(frame) for timeline in timelines for frame in timeline.events.values())
    for key, count in counts.items():
        if count > 1 and key.startswith(UNIQUE):
            violations.add("duplicate_effect", f"{key}: {count} events")


def gold_spent(timelines: Iterable[Timeline]) -> Counter[str]:
    """Gold that each user gave away, according to the room events."""
    spent: Counter[str] = Counter()
    for timeline in timelines:
        for frame in timeline.events.values():
            if frame["type"] == "gift":
                spent[frame["data"]["from"]["user_id"]] += frame["data"]["gold"]
    return spent


def _has_event(operation: Operation, timestamps: Iterable[int]) -> bool:
    first = operation.started_at * 1000 - TOLERANCE_MS
    last = operation.acknowledged_at * 1000 + TOLERANCE_MS
    return any(first <= timestamp <= last for timestamp in timestamps)
