"""A room_changes with a store in memory, and a listener that records its calls."""

from collections.abc import Sequence
from typing import Any

from rooms.events import NumberedEvent
from rooms.members import Person
from rooms.room import Room
from rooms.state import Seat
from services.room_changes import RoomChanges
from tests.support.room_builders import HOST, NOW
from tests.support.rooms_in_memory import MemoryRoomStore

OTHER_HOST = Person("20000000", "ming", "https://faces/ming", 1)
Call = tuple[Any, ...]


class RecordingListener:
    """Records publications and evictions, and the calls of `store`, in order."""

    def __init__(self, store: MemoryRoomStore | None = None) -> None:
        self.calls: list[Call] = store.calls if store else []
        self.event_types: list[str] = []

    def publish(self, live_id: int, events: Sequence[NumberedEvent]) -> None:
        self.event_types += [event.type for event in events]
        self.calls.append(("publish", live_id, *((event.seq, event.type) for event in events)))

    def mark_audience_changed(self, live_id: int) -> None:
        self.calls.append(("audience", live_id))

    def evict(self, live_id: int, user_id: str, number: int, *, may_not_reconnect: bool) -> None:
        self.calls.append(
            ("evict", live_id, user_id, number, *(["banned"] if may_not_reconnect else []))
        )


class RoomChangesFixture:
    """A room_changes and two live rooms: 1 of HOST, 2 of OTHER_HOST."""

    def __init__(self, *viewers: Person) -> None:
        """`viewers` are in room 1."""
        self.store = MemoryRoomStore()
        self.listener = RecordingListener(self.store)
        self.room_changes = RoomChanges(self.store.stores, [self.store.follow], self.listener)
        self.open(1, HOST)
        self.open(2, OTHER_HOST)
        for person in viewers:
            self.enter(person)

    def open(self, live_id: int, host: Person) -> None:
        self.store.add(Room(live_id, f"g{live_id}", Seat(host, "")))
        self.store.change(live_id, lambda room: room.open(host, "e", "s", NOW))

    def enter(self, person: Person, live_id: int = 1) -> None:
        """By another process."""
        self.store.change(live_id, lambda room: room.enter(person, NOW), person.user_id)

    def seat(self, person: Person, stream: str = "s") -> None:
        """On mic in room 1, by another process."""
        self.store.change(1, lambda room: room.accept(person, "open", stream, ""), person.user_id)

    def room(self, live_id: int = 1) -> Room:
        room = self.store.read(live_id, list(self.store.members))
        assert room is not None
        return room

    def take_calls(self) -> list[Call]:
        """Calls since the last time."""
        calls = [*self.store.calls]
        self.store.calls.clear()
        return calls
