"""What people did and were told is done: each must have been heard by the room."""

from collections.abc import Iterable
from dataclasses import dataclass

from chaos.story import Faults, Frame, Story

SLACK_MS = 100
"""Between the clock of an event, which is set before it is saved, and that of its request."""


@dataclass(frozen=True, slots=True)
class Act:
    """An acknowledged act; times are time.time(). `key` names the event that belongs to it."""

    live_id: int
    key: str
    began: float
    acknowledged: float


def key_of(frame: Frame) -> str:
    """The name by which an act finds its event; "" for events that nobody asked for."""
    kind, data = frame["type"], frame["data"]
    match kind:
        case "gift":
            return f"gift {data['request_id']}"
        case "micro_accept":
            return f"micro_accept {data['play_url'].partition('?')[0]}"
        case "profile":
            return f"profile {data['user_id']} {data['nickname']}"
        case "micro_apply" | "micro_invite" | "micro_refuse" | "micro_leave" | "live_end":
            return f"{kind} {data['user_id']}"
    return ""


def lost(acts: Iterable[Act], stories: Iterable[Story], faults: Faults) -> int:
    """How many acknowledged acts nobody was told of."""
    heard: dict[tuple[int, str], list[int]] = {}
    for story in stories:
        for frame in story.events.values():
            heard.setdefault((story.live_id, key_of(frame)), []).append(frame["ts"])
    missing = [act for act in acts if not _told(act, heard.get((act.live_id, act.key), []))]
    for act in missing:
        faults.add("lost", f"{act}")
    return len(missing)


def _told(act: Act, times: Iterable[int]) -> bool:
    first, last = act.began * 1000 - SLACK_MS, act.acknowledged * 1000 + SLACK_MS
    return any(first <= at <= last for at in times)
