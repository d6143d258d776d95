"""Writes live rooms and their members directly to MongoDB, without the server.

`python -m bench compare` calls the functions of another checkout by these names.
"""

import secrets
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import AsyncMongoClient

from rooms.members import Person
from rooms.room import Room
from storage.accounts.users import User
from storage.database import Database
from storage.documents import token_id
from storage.jobs.outbox import OutboxStore
from storage.moderation.blocks import UserBlockStore
from storage.rooms.members import MemberStore
from storage.rooms.rooms import RoomStore

NOW = datetime.now(UTC)
GOLD = 10**9
"""Balance of a viewer, without a journal entry: enough for all gifts."""
TOKEN_AGE = timedelta(hours=2)
"""Time since the last stored use of a client's token; after an hour, the next use is stored."""


async def create_live_rooms(uri: str, database_name: str, count: int) -> list[Room]:
    """Create live rooms, each with only its host, who has changed her name: its one event."""
    database = Database(uri, database_name, [])
    store = RoomStore(database, MemberStore(database), OutboxStore(database))
    now = int(NOW.timestamp() * 1000)
    rooms = []
    for n in range(count):
        host = Person(str(90_000_000 + n), f"host {n}", gender=2)
        live_id, _, _ = await store.get_or_create(host)
        room = await store.load(live_id)
        assert room is not None
        room.open(host, secrets.token_hex(8), f"stream-{n}", now)
        await store.save(room, room.numbered(now))
        room = await store.load(live_id)
        assert room is not None
        room.update_profile(replace(host, nickname="renamed"))
        await store.save(room, room.numbered(now))
        room = await store.load(live_id)
        assert room is not None
        rooms.append(room)
    await database.close()
    return rooms


async def create_viewers(uri: str, database_name: str, rooms: Sequence[Room]) -> list[str]:
    """Create a signed-in viewer per entry of `rooms`; returns their tokens."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(uri)
    mongodb = client[database_name]
    viewer_ids = [str(10_000_001 + n) for n in range(len(rooms))]
    tokens = [secrets.token_hex(20) for _ in viewer_ids]
    user_ids = {*viewer_ids, *(room.host_id for room in rooms)}
    await mongodb.users.insert_many([_user_document(user_id) for user_id in user_ids])
    session = {"revoked": False, "settled": False, "made_at": NOW, "used_at": NOW}
    session["expires_at"] = NOW + timedelta(days=30)
    await mongodb.tokens.insert_many(
        [
            {"_id": token_id(token), "user_id": user_id, **session}
            for user_id, token in zip(viewer_ids, tokens, strict=True)
        ]
    )
    await mongodb.members.insert_many(
        [
            _membership_document(user_id, room)
            for user_id, room in zip(viewer_ids, rooms, strict=True)
        ]
    )
    await client.close()
    return tokens


async def block_users(uri: str, database_name: str) -> None:
    """Let every user block another one, who takes no part."""
    database = Database(uri, database_name, [])
    store = UserBlockStore(database)
    for row in await database.collection("users").find({}, {"_id": 1}).to_list():
        await store.put(row["_id"], "89999999")
    await database.close()


async def verify_users(uri: str, database_name: str) -> None:
    """Verify every user as an adult."""
    database = Database(uri, database_name, [])
    await database.collection("users").update_many({}, {"$set": {"age_verified_at": NOW}})
    await database.close()


async def disconnect_members(uri: str, database_name: str) -> None:
    """Restore all members to the state before their first socket.

    A server would remove those whom an earlier one, now stopped, has left as away.
    """
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(uri)
    fields = {"process": None, "socket": 0, "due_at": None, "stream": None, "away_at": None}
    await client[database_name].members.update_many({}, {"$set": fields})
    await client.close()


async def age_tokens(uri: str, database_name: str) -> None:
    """Make every token one whose next use is stored, as those of clients connected for hours."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(uri)
    used_at = datetime.now(UTC) - TOKEN_AGE
    await client[database_name].tokens.update_many({}, {"$set": {"used_at": used_at}})
    await client.close()


def _user_document(user_id: str) -> dict[str, Any]:
    user = User(user_id, "wx", user_id, NOW, nickname=f"n{user_id}", gender=1, gold=GOLD)
    document = asdict(user)
    document["_id"] = document.pop("user_id")
    return document


def _membership_document(user_id: str, room: Room) -> dict[str, Any]:
    membership = {"_id": user_id, "live_id": room.live_id, "epoch": room.epoch, "gender": 1}
    membership |= {"role": "viewer", "entered_at": room.started_at, "version": 0, "socket": 0}
    return (
        membership
        | {"away_at": None, "process": None, "due_at": None, "stream": None}
        | {"seen_at": room.started_at}
    )
