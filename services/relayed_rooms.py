"""Loads rooms in the form that the IM relay needs."""

from collections.abc import Sequence

from core.clock import now_ms
from rooms.events import MicroAccept
from rooms.room import Seat
from services.im_publisher import RelayedRoom
from storage.members import MemberStore
from storage.rooms import RoomStore
from tencent.css import StreamUrls


class StoredRooms:
    """Rooms and their user counts, as MongoDB has them."""

    def __init__(self, rooms: RoomStore, members: MemberStore, stream_urls: StreamUrls) -> None:
        self._rooms = rooms
        self._members = members
        self._stream_urls = stream_urls

    async def load(self, live_id: int) -> RelayedRoom | None:
        """The present room; None when there is none."""
        room = await self._rooms.read(live_id)
        if room is None:
            return None
        seats = [seat for seat in (room.male, room.female) if seat]
        now = now_ms() // 1000
        return RelayedRoom(
            group_id=room.group_id,
            host_id=room.host_id,
            epoch=room.epoch,
            version=room.version,
            live=room.live,
            on_mic=[_accepted(it, self._stream_urls.play(it.stream, now)) for it in seats],
        )

    async def num_list(self, live_id: int, epoch: str) -> Sequence[int]:
        """The present user counts of a live session."""
        return (await self._members.count(live_id, epoch)).num_list


def _accepted(seat: Seat, play_url: str) -> MicroAccept:
    person = seat.person
    return {**person.face(), "play_url": play_url, "area": person.area, "age": person.age}
