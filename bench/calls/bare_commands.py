"""Bare MongoDB commands of apply, accept and leave: their lower bound."""

import hashlib
import itertools
import secrets
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

EVENT = {
    "type": "micro_apply",
    "data": {"user_id": "10000001", "nickname": "x", "face_url": "y" * 60},
}


class BareCommands:
    """Reads token, user, room and membership; writes the last two transactionally."""

    def __init__(self, uri: str, database: str) -> None:
        options: Any = {"tz_aware": True, "w": "majority", "readConcernLevel": "majority"}
        self._client = AsyncMongoClient[dict[str, Any]](uri, **options)
        self._db = self._client[database]
        self._seq = itertools.count(1)

    async def prepare(self) -> None:
        """Create the outbox collection now, so that no transaction has to."""
        await self._db.create_collection("bare_outbox")

    async def change(self, authorization: str, live_id: int, *, drops_stream: bool) -> None:
        """Make one change; `drops_stream` adds the outbox message for dropping a stream."""
        token_hash = hashlib.sha256(authorization.partition(" ")[2].encode()).hexdigest()
        row = await self._db.tokens.find_one({"_id": token_hash})
        assert row is not None
        user_id = row["user_id"]
        assert await self._db.users.find_one({"_id": user_id})
        room = await self._load(live_id, user_id)
        async with self._client.start_session() as session:
            await session.start_transaction(ReadConcern("snapshot"), WriteConcern("majority"))
            await self._save(room, user_id, session)
            if drops_stream:
                message = {"_id": secrets.token_hex(8)}
                await self._db.bare_outbox.insert_one(message, session=session)
            await session.commit_transaction()

    async def _load(self, live_id: int, user_id: str) -> dict[str, Any]:
        members_pipeline = [{"$match": {"_id": {"$in": [user_id]}}}]
        pipeline: list[dict[str, Any]] = [
            {"$match": {"_id": live_id}},
            {"$unset": "log"},
            {"$lookup": {"from": "members", "pipeline": members_pipeline, "as": "members"}},
        ]
        return await anext(await self._db.rooms.aggregate(pipeline))

    async def _save(self, room: dict[str, Any], user_id: str, session: AsyncClientSession) -> None:
        seq = next(self._seq)
        changes = {"version": room["version"], f"log.{seq % 256}": {"seq": seq, "ts": seq, **EVENT}}
        query = {"_id": room["_id"], "epoch": room["epoch"], "version": room["version"]}
        await self._db.rooms.update_one(query, {"$set": changes}, session=session)
        member_update = {"$set": {"role": "viewer"}, "$inc": {"v": 1}}
        await self._db.members.update_one({"_id": user_id}, member_update, session=session)
