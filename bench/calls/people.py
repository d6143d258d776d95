"""Who calls: so many guests, spread over so many rooms."""

from typing import NamedTuple

from bench.people import enter, open_rooms


class Guest(NamedTuple):
    live_id: int
    token: str


async def fill(uri: str, name: str, rooms: int, guests: int) -> list[Guest]:
    opened = await open_rooms(uri, name, rooms)
    where = [opened[n % rooms] for n in range(guests)]
    tokens = await enter(uri, name, where)
    return [Guest(room.live_id, token) for room, token in zip(where, tokens, strict=True)]
