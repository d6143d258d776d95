"""The peers' implementation of a join: plain PyMongo commands, one after another."""

import hashlib
import json
import os
import time
from datetime import UTC, datetime
from typing import Any

from pymongo import AsyncMongoClient

LOG_SIZE = 256
"""Events in the log of a room."""
BYE = '{"type":"bye","code":4504,"reason":"not a member","retry_ms":0,"reconnect":false}'
BYE_CODE = 4504
Document = dict[str, Any]


class JoinRefused(Exception):
    """The token is invalid, or its user is not a member of the live room."""


class JoinQueries:
    """Makes four commands per join, a fifth for a client that has missed events.

    The index that counts the members is made by QLive, which serves each database first.
    """

    def __init__(self, uri: str, database: str) -> None:
        self._client = AsyncMongoClient[Document](uri, tz_aware=True)
        self._db = self._client[database]
        self._process = f"peer-{os.getpid()}"

    async def close(self) -> None:
        await self._client.close()

    async def join(
        self, authorization: str, live_id: int, since: int | None = None, epoch: str = ""
    ) -> list[str]:
        """The first messages of a member's socket; raises JoinRefused.

        They are a snapshot, or for a client that resumes `resumed`, the missed events and the
        audience.
        """
        user_id = await self._user_id_of(authorization)
        member = await self._mark_connected(user_id, live_id)
        room = await self._db.rooms.find_one({"_id": live_id}, {"log": 0})
        if room is None or room["status"] == "ended" or room["epoch"] != member["epoch"]:
            raise JoinRefused
        audience = await self._audience(live_id, room["epoch"])
        if since is None or epoch != room["epoch"] or since not in _replayable(room):
            return [_snapshot(room, audience)]
        missed = await self._events(room, since) if since < room["version"] else []
        resumed = {**_head("resumed", room), "replayed": len(missed)}
        counts = {"type": "audience", "live_id": live_id, "data": audience}
        return [_encode(message) for message in (resumed, *missed, counts)]

    async def _user_id_of(self, authorization: str) -> str:
        token_hash = hashlib.sha256(authorization.partition(" ")[2].encode()).hexdigest()
        row = await self._db.tokens.find_one({"_id": token_hash})
        if row is None or row["expires_at"] <= datetime.now(UTC):
            raise JoinRefused
        return str(row["user_id"])

    async def _mark_connected(self, user_id: str, live_id: int) -> Document:
        """Store who serves the member's connection; returns the membership."""
        fields = {"process": self._process, "away_at": None, "due_at": None, "seen_at": _now_ms()}
        change = {"$set": fields, "$inc": {"v": 1, "socket": 1}}
        member = await self._db.members.find_one_and_update(
            {"_id": user_id, "live_id": live_id}, change
        )
        if member is None:
            raise JoinRefused
        return member

    async def _audience(self, live_id: int, epoch: str) -> Document:
        group = {"_id": {"gender": "$gender", "role": "$role"}, "n": {"$sum": 1}}
        pipeline = [{"$match": {"live_id": live_id, "epoch": epoch}}, {"$group": group}]
        rows = await (await self._db.members.aggregate(pipeline)).to_list()
        counts = {(row["_id"]["gender"], row["_id"]["role"]): row["n"] for row in rows}
        num_list = []
        for gender in (1, 2):
            num_list.append(counts.get((gender, "applied"), 0))
            num_list.append(
                sum(n for key, n in counts.items() if key[0] == gender and key[1] != "host")
            )
        return {"audience_count": sum(counts.values()), "num_list": num_list}

    async def _events(self, room: Document, since: int) -> list[Document]:
        numbers = range(since + 1, room["version"] + 1)
        slots = dict.fromkeys((f"log.{n % LOG_SIZE}" for n in numbers), 1)
        found = await self._db.rooms.find_one({"_id": room["_id"]}, slots)
        assert found is not None
        rows = [found["log"][str(n % LOG_SIZE)] for n in numbers]
        return [{**_head(row["type"], room), **row} for row in rows]


def _replayable(room: Document) -> range:
    """Positions from which a client can resume: the log has all later events."""
    return range(max(0, room["version"] - LOG_SIZE), room["version"] + 1)


def _snapshot(room: Document, audience: Document) -> str:
    seats = {name: _seat(room[name]) for name in ("owner", "male", "female")}
    queue = sorted(room["applications"].values(), key=lambda application: application["n"])
    data = {
        "status": room["status"],
        "room_name": room["owner"]["person"]["nickname"],
        "room_image": room["cover"] or room["owner"]["person"]["face_url"],
        "group_id": room["group_id"],
        **seats,
        "applicants": queue,
        **audience,
    }
    return _encode({**_head("snapshot", room), "ts": _now_ms(), "data": data})


def _seat(seat: Document | None) -> Document | None:
    if seat is None:
        return None
    return {**seat["person"], "play_url": seat["stream"], "away": seat["away"]}


def _head(type_: str, room: Document) -> Document:
    """`type` comes first, which crowd.c requires."""
    return {"type": type_, "live_id": room["_id"], "epoch": room["epoch"], "seq": room["version"]}


def _encode(message: Document) -> str:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
