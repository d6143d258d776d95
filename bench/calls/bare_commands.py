"""Bare MongoDB commands of the calls that write: their lower bound.

They write the same documents with the same concerns as QLive, without rules, conflict checks,
publishing or logging.
"""

import asyncio
import hashlib
import itertools
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from pymongo import AsyncMongoClient, InsertOne, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

EVENT = {
    "type": "micro_apply",
    "data": {"user_id": "10000001", "nickname": "x", "face_url": "y" * 60},
}


CREATED_AT_START = ("bare_outbox", "bare_ledger", "bare_ranks")
"""Collections that no transaction has to create."""
Session = AsyncClientSession
Work = Callable[[Session], Awaitable[object]]


class BareCommands:
    """One method for each kind of call; changes of one room run one after the other."""

    def __init__(self, uri: str, database: str) -> None:
        options: Any = {"tz_aware": True, "w": "majority", "readConcernLevel": "majority"}
        self._client = AsyncMongoClient[dict[str, Any]](uri, **options)
        self._db = self._client[database]
        self._seq = itertools.count(1)
        self._room_locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def prepare(self) -> None:
        for name in CREATED_AT_START:
            await self._db.create_collection(name)

    async def change(self, authorization: str, live_id: int, *, drops_stream: bool = False) -> None:
        """Write room and membership; `drops_stream` adds the outbox message for that."""
        user_id = await self._user_id_of(authorization)
        async with self._room_locks[live_id]:
            room = await self._load(live_id, user_id)

            async def save(session: Session) -> None:
                await self._save_room(room, session)
                member_update = {"$set": {"role": "viewer"}, "$inc": {"v": 1}}
                await self._db.members.update_one({"_id": user_id}, member_update, session=session)
                if drops_stream:
                    message = {"_id": secrets.token_hex(8)}
                    await self._db.bare_outbox.insert_one(message, session=session)

            await self._transaction(save)

    async def enter(self, authorization: str, live_id: int) -> None:
        """Write the membership."""
        user_id = await self._user_id_of(authorization)
        room = await self._load(live_id, user_id)
        names = ("away_at", "process", "due_at", "stream")
        fields = {"live_id": live_id, "epoch": room["epoch"], "role": "viewer", "gender": 1}
        fields |= {"v": 0, "socket": 0, "entered_at": 1, "seen_at": 1, **dict.fromkeys(names)}
        await self._db.members.update_one({"_id": user_id}, {"$set": fields}, upsert=True)

    async def leave(self, authorization: str, live_id: int) -> None:
        """Delete the membership."""
        user_id = await self._user_id_of(authorization)
        await self._load(live_id, user_id)
        await self._db.members.delete_one({"_id": user_id})

    async def give(self, authorization: str, receiver: str) -> None:
        """Write journal entry, two balances, four ranking rows and the room's event."""
        sender = await self._user_id_of(authorization)
        both = {"_id": {"$in": [sender, receiver]}}
        memberships = await self._db.members.find(both).to_list()
        assert await self._db.users.find(both).to_list()
        live_id = memberships[0]["live_id"]
        async with self._room_locks[live_id]:
            room = await self._load(live_id, sender)

            async def save(session: Session) -> None:
                await self._save_room(room, session)
                entry = InsertOne({"_id": secrets.token_hex(16), "text": "x" * 400})
                await self._db.bare_ledger.bulk_write([entry], session=session)
                gold = [
                    UpdateOne({"_id": sender}, {"$inc": {"gold": -5}}),
                    UpdateOne({"_id": receiver}, {"$inc": {"income": 2}}),
                ]
                await self._db.users.bulk_write(gold, session=session)
                ranks = [
                    UpdateOne({"_id": f"{user_id}:{period}"}, {"$inc": {"gold": 5}}, upsert=True)
                    for user_id in (sender, receiver)
                    for period in ("day", "total")
                ]
                await self._db.bare_ranks.bulk_write(ranks, session=session)

            await self._transaction(save)

    async def _transaction(self, save: Work) -> None:
        async with self._client.start_session() as session:
            await session.start_transaction(ReadConcern("snapshot"), WriteConcern("majority"))
            await save(session)
            await session.commit_transaction()

    async def _user_id_of(self, authorization: str) -> str:
        token_hash = hashlib.sha256(authorization.partition(" ")[2].encode()).hexdigest()
        row = await self._db.tokens.find_one({"_id": token_hash})
        assert row is not None
        assert await self._db.users.find_one({"_id": row["user_id"]})
        return str(row["user_id"])

    async def _load(self, live_id: int, user_id: str) -> dict[str, Any]:
        members_pipeline = [{"$match": {"_id": {"$in": [user_id]}}}]
        pipeline: list[dict[str, Any]] = [
            {"$match": {"_id": live_id}},
            {"$unset": "log"},
            {"$lookup": {"from": "members", "pipeline": members_pipeline, "as": "members"}},
        ]
        return await anext(await self._db.rooms.aggregate(pipeline))

    async def _save_room(self, room: dict[str, Any], session: Session) -> None:
        seq = next(self._seq)
        changes = {"version": room["version"], f"log.{seq % 256}": {"seq": seq, "ts": seq, **EVENT}}
        query = {"_id": room["_id"], "epoch": room["epoch"], "version": room["version"]}
        await self._db.rooms.update_one(query, {"$set": changes}, session=session)
