"""The look-ups of four calls as one writes them with PyMongo, and what they answer: the peers'."""

import hashlib
from datetime import UTC, datetime
from typing import Any

from pymongo import AsyncMongoClient

PAGE = 8
LIVE = {"status": {"$in": ["live", "paused"]}}


class NotSignedIn(Exception):
    """No such token."""


class LookUps:
    """One collection after the other, by `_id` wherever that is enough."""

    def __init__(self, uri: str, database: str) -> None:
        self._db = AsyncMongoClient[dict[str, Any]](uri, tz_aware=True)[database]

    async def signed_in(self, authorization: str) -> dict[str, Any]:
        token = hashlib.sha256(authorization.partition(" ")[2].encode()).hexdigest()
        row = await self._db.tokens.find_one({"_id": token})
        if row is None or row["expires_at"] <= datetime.now(UTC):
            raise NotSignedIn
        user = await self._db.users.find_one({"_id": row["user_id"]})
        if user is None:
            raise NotSignedIn
        return user

    async def user_state(self, user: dict[str, Any]) -> dict[str, Any]:
        place = await self._db.members.find_one({"_id": user["_id"]})
        if place is None:
            return {"live_room_name": "", "live_id": "", "group_id": "", "user_type": 0}
        room = await self._db.rooms.find_one({"_id": place["live_id"]}, {"log": 0})
        assert room is not None
        return {
            "live_room_name": room["owner"]["person"]["nickname"],
            "live_id": room["_id"],
            "group_id": room["group_id"],
            "user_type": 1,
        }

    async def userinfo(self, user: dict[str, Any]) -> dict[str, Any]:
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

    async def livelist(self) -> list[dict[str, Any]]:
        rooms = await self._db.rooms.find(LIVE, {"log": 0}).sort("started_at", -1).to_list()
        counts = await self._counts([room["_id"] for room in rooms])
        rooms.sort(key=lambda room: -counts.get(room["_id"], 0))
        return [self._listed(room, counts.get(room["_id"], 0)) for room in rooms[:PAGE]]

    async def users_info(self, live_id: int, gender: int) -> list[dict[str, Any]]:
        room = await self._db.rooms.find_one({"_id": live_id}, {"log": 0})
        assert room is not None
        where = {"live_id": live_id, "epoch": room["epoch"], "gender": gender, "role": "viewer"}
        found = self._db.members.find(where, {"_id": 1}).sort([("entered_at", 1), ("_id", 1)])
        ids = [row["_id"] for row in await found.limit(PAGE).to_list()]
        users = {u["_id"]: u for u in await self._db.users.find({"_id": {"$in": ids}}).to_list()}
        return [
            {
                "user_id": i,
                "face_url": users[i]["face_url"],
                "nickname": users[i]["nickname"],
                "state": 0,
            }
            for i in ids
        ]

    async def _counts(self, live_ids: list[int]) -> dict[int, int]:
        match = {"live_id": {"$in": live_ids}, "role": {"$ne": "host"}}
        steps = [{"$match": match}, {"$group": {"_id": "$live_id", "n": {"$sum": 1}}}]
        return {row["_id"]: row["n"] async for row in await self._db.members.aggregate(steps)}

    def _listed(self, room: dict[str, Any], count: int) -> dict[str, Any]:
        return {
            "id": room["_id"],
            "group_id": room["group_id"],
            "room_name": room["owner"]["person"]["nickname"],
            "room_image": room["owner"]["person"]["face_url"],
            "player": {"boy": "", "girl": ""},
            "audience_count": count,
        }
