"""Creates the guests of the API benchmark, spread over rooms."""

from typing import NamedTuple

from bench.fixtures import create_live_rooms, create_viewers


class Guest(NamedTuple):
    live_id: int
    token: str
    host_id: str


async def create_guests(uri: str, database: str, rooms: int, guests: int) -> list[Guest]:
    live_rooms = await create_live_rooms(uri, database, rooms)
    guest_rooms = [live_rooms[n % rooms] for n in range(guests)]
    tokens = await create_viewers(uri, database, guest_rooms)
    return [
        Guest(room.live_id, token, room.host_id)
        for room, token in zip(guest_rooms, tokens, strict=True)
    ]
