"""The peers' implementation of four read endpoints, with plain PyMongo queries."""

import hashlib
from datetime import UTC, datetime
from typing import Any

from pymongo import AsyncMongoClient

PAGE_SIZE = 8
IS_LIVE = {"status": {"$in": ["live", "paused"]}}


class InvalidToken(Exception):
    """The token is unknown or expired, or its user does not exist."""


class PeerQueries:
    """Queries one collection after another, by `_id` where possible."""

    def __init__(self, uri: str, database: str) -> None:
        self._db = AsyncMongoClient[dict[str, Any]](uri, tz_aware=True)[database]

    async def authenticate(self, authorization: str) -> dict[str, Any]:
        token_hash = hashlib.sha256(authorization.partition(" ")[2].encode()).hexdigest()
        row = await self._db.tokens.find_one({"_id": token_hash})
        if row is None or row["expires_at"] <= datetime.now(UTC):
            raise InvalidToken
        user = await self._db.users.find_one({"_id": row["user_id"]})
        if user is None:
            raise InvalidToken
        return user

    async def user_state(self, user: dict[str, Any]) -> dict[str, Any]:
        membership = await self._db.members.find_one({"_id": user["_id"]})
        if membership is None:
            return {"live_room_name": "", "live_id": "", "group_id": "", "user_type": 0}
        room = await self._db.rooms.find_one({"_id": membership["live_id"]}, {"log": 0})
        assert room is not None
        return {
            "live_room_name": room["owner"]["person"]["nickname"],
            "live_id": room["_id"],
            "group_id": room["group_id"],
            "user_type": 1,
        }

    async def user_info(self, user: dict[str, Any]) -> dict[str, Any]:
        rate = await self._db.configs.find_one({"key": "WITHDRAW_RATE"})
        names = ("nickname", "gender", "age", "face_url", "area", "gold", "height", "income")
        return {
            "user_id": user["_id"],
            "user_sig": "",
            **{name: user[name] for name in names},
            "is_matchmaker": user["is_matchmaker"],
            "create_time": user["create_time"].isoformat(),
            "rate": str(rate["value"] if rate else 0),
        }

    async def live_list(self) -> list[dict[str, Any]]:
        rooms = await self._db.rooms.find(IS_LIVE, {"log": 0}).sort("started_at", -1).to_list()
        counts = await self._counts([room["_id"] for room in rooms])
        rooms.sort(key=lambda room: -counts.get(room["_id"], 0))
        return [
            {
                "id": room["_id"],
                "group_id": room["group_id"],
                "room_name": room["owner"]["person"]["nickname"],
                "room_image": room["owner"]["person"]["face_url"],
                "player": {"boy": "", "girl": ""},
                "audience_count": counts.get(room["_id"], 0),
            }
            for room in rooms[:PAGE_SIZE]
        ]

    async def users_info(self, live_id: int, gender: int) -> list[dict[str, Any]]:
        room = await self._db.rooms.find_one({"_id": live_id}, {"log": 0})
        assert room is not None
        query = {"live_id": live_id, "epoch": room["epoch"], "gender": gender, "role": "viewer"}
        cursor = self._db.members.find(query, {"_id": 1}).sort([("entered_at", 1), ("_id", 1)])
        ids = [row["_id"] for row in await cursor.limit(PAGE_SIZE).to_list()]
        users = {
            user["_id"]: user for user in await self._db.users.find({"_id": {"$in": ids}}).to_list()
        }
        return [
            {
                "user_id": user_id,
                "face_url": users[user_id]["face_url"],
                "nickname": users[user_id]["nickname"],
                "state": 0,
            }
            for user_id in ids
        ]

    async def _counts(self, live_ids: list[int]) -> dict[int, int]:
        match = {"live_id": {"$in": live_ids}, "role": {"$ne": "host"}}
        pipeline = [{"$match": match}, {"$group": {"_id": "$live_id", "n": {"$sum": 1}}}]
        return {row["_id"]: row["n"] async for row in await self._db.members.aggregate(pipeline)}
