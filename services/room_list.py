"""Live rooms with their audience counts, largest audience first."""

from core.batching import SingleFlight
from rooms.members import MemberCounts
from rooms.room import Room
from storage.members import MemberStore
from storage.rooms import RoomStore

ListedRoom = tuple[Room, MemberCounts]


def rooms_by_audience(rooms: RoomStore, members: MemberStore) -> SingleFlight[list[ListedRoom]]:
    """Single-flight read of the list, which every client requests when it starts."""

    async def read() -> list[ListedRoom]:
        live = await rooms.live()
        counts = await members.counts((room.live_id, room.epoch) for room in live)
        live.sort(key=lambda room: -counts[room.live_id].audience)  # stable: ties stay newest first
        return [(room, counts[room.live_id]) for room in live]

    return SingleFlight(read)
