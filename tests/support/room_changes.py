"""A room_changes with an in-memory store that records calls and simulates concurrent writers."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from core.errors import WriteConflict
from rooms.events import NumberedEvent
from rooms.members import Person
from rooms.room import Room
from rooms.state import Seat
from services.room_changes import RoomChanges
from tests.support.room_builders import HOST, NOW
from tests.support.rooms_in_memory import AddWrites, MemoryRoomStore

OTHER_HOST = Person("20000000", "ming", "https://faces/ming", 1)
Call = tuple[Any, ...]


class RecordingListener:
    """Records publications and evictions, and the writes of RacingRoomStore, in order."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def publish(self, live_id: int, events: Sequence[NumberedEvent]) -> None:
        self.calls.append(("publish", live_id, *((event.seq, event.type) for event in events)))

    def mark_audience_changed(self, live_id: int) -> None:
        self.calls.append(("audience", live_id))

    def evict(self, live_id: int, user_id: str, number: int, *, may_not_reconnect: bool) -> None:
        self.calls.append(
            ("evict", live_id, user_id, number, *(["banned"] if may_not_reconnect else []))
        )


class RacingRoomStore(MemoryRoomStore):
    """Records writes; fails the next `conflicts` writes, each after a `rival` change.

    Each write first runs one of `before_save`, a concurrent change that may cause a conflict.
    """

    def __init__(self, listener: RecordingListener) -> None:
        super().__init__()
        self.listener = listener
        self.conflicts = 0
        self.rival: Callable[[], None] = lambda: None
        self.before_save: list[Callable[[], None]] = []
        self.loads = 0

    async def load(self, live_id: int, user_ids: Sequence[str] = ()) -> Room | None:
        self.loads += 1
        return await super().load(live_id, user_ids)

    async def save(
        self,
        room: Room,
        events: Sequence[NumberedEvent],
        add_writes: Sequence[AddWrites] = (),
    ) -> None:
        await asyncio.sleep(0)
        if self.conflicts:
            self.conflicts -= 1
            self.rival()
            raise WriteConflict
        if self.before_save:
            self.before_save.pop(0)()
        await super().save(room, events, add_writes)
        self.listener.calls.append(("save", room.live_id, *(event.seq for event in events)))

    async def clear(self, live_id: int, epoch: str) -> None:
        await super().clear(live_id, epoch)
        self.listener.calls.append(("clear", live_id, epoch))

    def change(self, live_id: int, rule: Callable[[Room], Any], *user_ids: str) -> None:
        """A change by another process, which is not recorded."""
        room = self.read(live_id, user_ids)
        assert room is not None
        rule(room)
        self.write(room, room.numbered(NOW))


class RoomChangesFixture:
    """A room_changes and two live rooms: 1 of HOST, 2 of OTHER_HOST."""

    def __init__(self, *viewers: Person) -> None:
        """`viewers` are in room 1."""
        self.listener = RecordingListener()
        self.store = RacingRoomStore(self.listener)
        self.room_changes = RoomChanges(self.store, self.listener)
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
        calls, self.listener.calls = self.listener.calls, []
        return calls
