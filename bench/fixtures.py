"""Writes live rooms and their members directly to MongoDB, without the server.

`python -m bench compare` calls the functions of another checkout by these names.
"""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from config.settings import Settings
from rooms.members import DEFAULT_GRACE, Person
from rooms.room import Room
from services.rooms.consequences import consequences
from storage.accounts.users import User
from storage.database import Database
from storage.documents import token_id
from storage.moderation import UserBlockStore
from storage.rooms.rooms import add_room_writes
from storage.stores import Stores
from storage.write_batch import WriteBatch

NOW = datetime.now(UTC)
FIRST_VIEWER = 10_000_001
GOLD = 10**9
"""Balance of a viewer, without a journal entry: enough for all gifts."""
TOKEN_AGE = timedelta(hours=2)
"""Time since the last stored use of a client's token; after an hour, the next use is stored."""


def _ignore(*_change: object) -> None:
    """Nothing is connected."""


async def create_live_rooms(uri: str, database_name: str, count: int) -> list[Room]:
    """Create live rooms, each with only its host, who has changed her name: its one event."""
    now, rooms = int(NOW.timestamp() * 1000), []
    async with _opened(uri, database_name) as database:
        settings = Settings.model_validate({"auth": {"encryption_key": "of the benchmarks"}})
        stores = Stores(database, settings, DEFAULT_GRACE, _ignore)
        for n in range(count):
            host = Person(str(90_000_000 + n), f"host {n}", gender=2)
            live_id, _, _ = await stores.rooms.get_or_create(host)
            room = await stores.rooms.load(live_id)
            room.open(host, secrets.token_hex(8), f"stream-{n}", now)
            await _save(stores, room, now)
            room = await stores.rooms.load(live_id)
            room.update_profile(replace(host, nickname="renamed"))
            await _save(stores, room, now)
            rooms.append(await stores.rooms.load(live_id))
    return rooms


async def _save(stores: Stores, room: Room, now: int) -> None:
    batch, events = WriteBatch(), room.numbered(now)
    add_room_writes(room, events, batch)
    for add_consequence in consequences(stores):
        await add_consequence(room, events, batch)
    await stores.rooms.commit(batch)


async def create_viewers(uri: str, database_name: str, rooms: Sequence[Room]) -> list[str]:
    """Create a signed-in viewer per entry of `rooms`; returns their tokens."""
    viewer_ids = [str(FIRST_VIEWER + n) for n in range(len(rooms))]
    tokens = [secrets.token_hex(20) for _ in viewer_ids]
    user_ids = {*viewer_ids, *(room.host_id for room in rooms)}
    users = (User(id_, "wx", id_, NOW, f"n{id_}", gender=1, gold=GOLD) for id_ in user_ids)
    session = {"revoked": False, "logout_complete": False, "made_at": NOW, "used_at": NOW}
    session["expires_at"] = NOW + timedelta(days=30)
    membership = {"role": "viewer", "gender": 1, "version": 0, "socket": 0}
    membership |= {"away_at": None, "process": None, "due_at": None, "stream": None}
    members = [
        {
            **membership,
            "_id": user_id,
            "live_id": room.live_id,
            "epoch": room.epoch,
            "entered_at": room.started_at,
            "seen_at": room.started_at,
        }
        for user_id, room in zip(viewer_ids, rooms, strict=True)
    ]
    rows = {
        "users": [{"_id": row.pop("user_id"), **row} for row in map(asdict, users)],
        "tokens": [
            {"_id": token_id(token), "user_id": user_id, **session}
            for user_id, token in zip(viewer_ids, tokens, strict=True)
        ],
        "members": members,
    }
    async with _opened(uri, database_name) as database:
        for name, documents_of in rows.items():
            await database.collection(name).insert_many(documents_of)
    return tokens


async def block_users(uri: str, database_name: str) -> None:
    """Let every user block another one, who takes no part."""
    async with _opened(uri, database_name) as database:
        store = UserBlockStore(database)
        for row in await database.collection("users").find({}, {"_id": 1}).to_list():
            await store.put(row["_id"], "89999999")


async def mute_users(uri: str, database_name: str, user_ids: Sequence[str]) -> None:
    """Mute these users in every room, for ever."""
    await _set_all(uri, database_name, "rooms", muted=dict.fromkeys(user_ids, 2**45))


async def verify_users(uri: str, database_name: str) -> None:
    """Verify every user as an adult."""
    await _set_all(uri, database_name, "users", age_verified_at=NOW)


async def disconnect_members(uri: str, database_name: str) -> None:
    """Restore all members to the state before their first socket.

    A server would remove those whom an earlier one, now stopped, has left as away.
    """
    fields = {"process": None, "socket": 0, "due_at": None, "stream": None, "away_at": None}
    await _set_all(uri, database_name, "members", **fields)


async def age_tokens(uri: str, database_name: str) -> None:
    """Make every token one whose next use is stored, as those of clients connected for hours."""
    await _set_all(uri, database_name, "tokens", used_at=datetime.now(UTC) - TOKEN_AGE)


async def _set_all(uri: str, database_name: str, collection: str, **fields: Any) -> None:
    async with _opened(uri, database_name) as database:
        await database.collection(collection).update_many({}, {"$set": fields})


@asynccontextmanager
async def _opened(uri: str, name: str) -> AsyncIterator[Database]:
    database = Database(uri, name)
    try:
        with database.slow_operation_timeout():
            yield database
    finally:
        await database.close()
