"""The live rooms with how many are there, the fullest first."""

from rooms.people import Counts
from rooms.room import Room
from storage.members import Members
from storage.rooms import Rooms
from storage.shared import Shared

Listed = tuple[Room, Counts]


def fullest(rooms: Rooms, members: Members) -> Shared[list[Listed]]:
    """Read once for all who ask at the same time: every phone that opens the program does."""

    async def read() -> list[Listed]:
        live = await rooms.live()
        counts = await members.counts((room.live_id, room.epoch) for room in live)
        live.sort(key=lambda room: -counts[room.live_id].audience)  # stable: then newest first
        return [(room, counts[room.live_id]) for room in live]

    return Shared(read)
