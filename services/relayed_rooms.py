"""Loads rooms in the form that the IM relay needs."""

from core.clock import now_ms
from rooms.events import MicroAccept
from rooms.room import Seat
from services.im_publisher import LoadRelayedRoom, RelayedRoom
from storage.members import MemberStore
from storage.rooms import RoomStore
from tencent.stream_urls import StreamUrls


def relayed_rooms(
    rooms: RoomStore, members: MemberStore, stream_urls: StreamUrls
) -> LoadRelayedRoom:
    async def load(live_id: int) -> RelayedRoom | None:
        room = await rooms.load(live_id)
        if room is None:
            return None
        counts = await members.count(live_id, room.epoch)
        seats = [seat for seat in (room.male, room.female) if seat]
        now = now_ms() // 1000
        return RelayedRoom(
            group_id=room.group_id,
            host_id=room.host_id,
            epoch=room.epoch,
            version=room.version,
            live=room.live,
            num_list=counts.num_list,
            on_mic=[_accepted(seat, stream_urls.play(seat.stream, now)) for seat in seats],
        )

    return load


def _accepted(seat: Seat, play_url: str) -> MicroAccept:
    person = seat.person
    return {**person.face(), "play_url": play_url, "area": person.area, "age": person.age}
