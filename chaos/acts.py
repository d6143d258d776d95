"""What people did and were told is done: the room must have heard it, and not twice."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from chaos.story import Faults, Frame, Story

SLACK_MS = 100
"""Between the clock of an event, which is set before it is saved, and that of its request."""
UNIQUE = ("gift ", "micro_accept ", "profile ")
"""How keys begin that belong to one event only, as a rule."""
ONCE = ("gift ", "micro_accept ")
"""Those that never belong to a second one. A name is set, not added: a request for it that a
stopped process carries out late sets it again."""


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


def twice(stories: Iterable[Story], faults: Faults) -> None:
    """An act that was asked for again, since its answer was lost, is still done once."""
    told = Counter(key_of(frame) for story in stories for frame in story.events.values())
    for key, count in told.items():
        if count > 1 and key.startswith(ONCE):
            faults.add("twice", f"{key}: {count} events")


def given(stories: Iterable[Story]) -> Counter[str]:
    """The gold that each person gave away, as the rooms heard it."""
    spent: Counter[str] = Counter()
    for story in stories:
        for frame in story.events.values():
            if frame["type"] == "gift":
                spent[frame["data"]["from"]["user_id"]] += frame["data"]["gold"]
    return spent


def _told(act: Act, times: Iterable[int]) -> bool:
    first, last = act.began * 1000 - SLACK_MS, act.acknowledged * 1000 + SLACK_MS
    return any(first <= at <= last for at in times)
