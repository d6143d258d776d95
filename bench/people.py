"""Live rooms and the people in them, written past the server."""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import AsyncMongoClient

from rooms.people import Person
from rooms.room import Room
from storage.counters import Counters
from storage.database import Database
from storage.errands import Errands
from storage.members import Members
from storage.rooms import Rooms
from storage.tokens import token_id
from storage.users import User, _to

NOW = datetime.now(UTC)


async def open_rooms(uri: str, name: str, rooms: int) -> list[Room]:
    """So many, live, with nobody in them but the host."""
    database = Database(uri, name, [])
    members, counters = Members(database), Counters(database)
    store = Rooms(database, members, counters, Errands(database), drops_streams=False)
    now = int(NOW.timestamp() * 1000)
    opened = []
    for n in range(rooms):
        host = Person(str(90_000_000 + n), f"host {n}", gender=2)
        live_id, _, _ = await store.of_host(host)
        room = await store.load(live_id)
        assert room is not None
        room.open(host, secrets.token_hex(8), f"stream-{n}", now)
        await store.save(room, room.numbered(now), None)
        opened.append(room)
    await database.close()
    return opened


async def enter(uri: str, name: str, rooms: Sequence[Room]) -> list[str]:
    """A token for each of as many people as there are `rooms`, who watch in these."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(uri)
    mongodb, later = client[name], NOW + timedelta(days=30)
    ids = [str(10_000_001 + n) for n in range(len(rooms))]
    tokens = [secrets.token_hex(20) for _ in ids]
    everybody = {*ids, *(room.host_id for room in rooms)}
    await mongodb.users.insert_many(
        [_to(User(i, "wx", i, NOW, nickname=f"n{i}", gender=1)) for i in everybody]
    )
    await mongodb.tokens.insert_many(
        [
            {"_id": token_id(token), "user_id": i, "made_at": NOW, "expires_at": later}
            for i, token in zip(ids, tokens, strict=True)
        ]
    )
    await mongodb.members.insert_many([_place(i, room) for i, room in zip(ids, rooms, strict=True)])
    await client.close()
    return tokens


def _place(user_id: str, room: Room) -> dict[str, Any]:
    place = {"_id": user_id, "live_id": room.live_id, "epoch": room.epoch, "gender": 1}
    place |= {"role": "viewer", "entered_at": room.started_at, "v": 0, "socket": 0}
    return (
        place
        | {"away_at": None, "process": None, "due_at": None, "stream": None}
        | {"seen_at": room.started_at}
    )
