"""Events that this process has saved and is about to relay, which need not be read again."""

from collections.abc import Sequence

from rooms.events import NumberedEvent

MAX_EVENTS = 5_000
"""About 5 MB; then all are forgotten, and read from the logs of the rooms."""


class RecentEvents:
    """The latest events by room, in memory."""

    def __init__(self) -> None:
        self._by_room: dict[int, list[NumberedEvent]] = {}
        self._size = 0

    def add(self, live_id: int, events: Sequence[NumberedEvent]) -> None:
        if self._size >= MAX_EVENTS:
            self._by_room.clear()
            self._size = 0
        self._by_room.setdefault(live_id, []).extend(events)
        self._size += len(events)

    def take(self, live_id: int, epoch: str, seq: int, version: int) -> list[NumberedEvent] | None:
        """The events after `seq` up to `version`, None unless all of them are here.

        They, and earlier ones, are forgotten.
        """
        known = self._by_room.pop(live_id, [])
        self._size -= len(known)
        if later := [event for event in known if event.epoch == epoch and event.seq > version]:
            self.add(live_id, later)
        found = [event for event in known if event.epoch == epoch and seq < event.seq <= version]
        is_complete = [event.seq for event in found] == [*range(seq + 1, version + 1)]
        return found if is_complete else None
