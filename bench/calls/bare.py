"""The commands of apply, accept and leave and nothing else: what one cannot go below."""

import hashlib
import itertools
import secrets
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

Session = Any
EVENT = {
    "type": "micro_apply",
    "data": {"user_id": "10000001", "nickname": "x", "face_url": "y" * 60},
}


class Bare:
    """Token, person, the room with one's place; then the room and the place in a transaction."""

    def __init__(self, uri: str, database: str) -> None:
        given: Any = {"tz_aware": True, "w": "majority", "readConcernLevel": "majority"}
        self._client = AsyncMongoClient[dict[str, Any]](uri, **given)
        self._db = self._client[database]
        self._seq = itertools.count(1)

    async def prepare(self) -> None:
        """A collection is not made inside of a transaction."""
        await self._db.create_collection("bare_errands")

    async def change(self, authorization: str, live_id: int, *, drops: bool) -> None:
        """`drops`: a stream is to be dropped, too, which is an errand."""
        token = hashlib.sha256(authorization.partition(" ")[2].encode()).hexdigest()
        row = await self._db.tokens.find_one({"_id": token})
        assert row is not None
        user_id = row["user_id"]
        assert await self._db.users.find_one({"_id": user_id})
        room = await self._load(live_id, user_id)
        async with self._client.start_session() as session:
            await session.start_transaction(ReadConcern("snapshot"), WriteConcern("majority"))
            await self._save(room, user_id, session)
            if drops:
                await self._db.bare_errands.insert_one(
                    {"_id": secrets.token_hex(8)}, session=session
                )
            await session.commit_transaction()

    async def _load(self, live_id: int, user_id: str) -> dict[str, Any]:
        place = [{"$match": {"_id": {"$in": [user_id]}}}]
        steps: list[dict[str, Any]] = [
            {"$match": {"_id": live_id}},
            {"$unset": "log"},
            {"$lookup": {"from": "members", "pipeline": place, "as": "members"}},
        ]
        return await anext(await self._db.rooms.aggregate(steps))

    async def _save(self, room: dict[str, Any], user_id: str, session: Session) -> None:
        n = next(self._seq)
        sets = {"version": room["version"], f"log.{n % 256}": {"seq": n, "ts": n, **EVENT}}
        where = {"_id": room["_id"], "epoch": room["epoch"], "version": room["version"]}
        await self._db.rooms.update_one(where, {"$set": sets}, session=session)
        place = {"$set": {"role": "viewer"}, "$inc": {"v": 1}}
        await self._db.members.update_one({"_id": user_id}, place, session=session)
