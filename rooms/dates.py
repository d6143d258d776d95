"""Dates: the times in which a man and a woman are on mic together."""

from collections.abc import Sequence
from dataclasses import dataclass

from rooms.events import LAST_EVENT_TYPE, NumberedEvent
from rooms.members import SEAT_OF_GENDER
from rooms.state import RoomState


@dataclass(frozen=True, slots=True)
class DateChange:
    """The date of two users begins (`on`) or ends, at `at` (ms)."""

    male: str
    female: str
    at: int
    on: bool


def date_changes(before: RoomState, events: Sequence[NumberedEvent]) -> list[DateChange]:
    """Return the dates that begin and end with these events, which follow the state `before`."""
    seats = {name: getattr(before, name) for name in SEAT_OF_GENDER.values()}
    on_mic: dict[str, str] = {name: seat.person.user_id for name, seat in seats.items() if seat}
    changes: list[DateChange] = []
    for event in events:
        earlier = {**on_mic}
        if event.type == "micro_accept":
            on_mic[SEAT_OF_GENDER[event.data["gender"]]] = event.data["user_id"]
        elif event.type == "micro_leave":
            del on_mic[SEAT_OF_GENDER[event.data["gender"]]]
        elif event.type == LAST_EVENT_TYPE:
            on_mic.clear()
        if _is_date(on_mic) != _is_date(earlier):
            begins = _is_date(on_mic)
            changes.append(DateChange(**(on_mic if begins else earlier), at=event.ts, on=begins))
    return changes


def _is_date(on_mic: dict[str, str]) -> bool:
    return len(on_mic) == len(SEAT_OF_GENDER)
