"""rooms: the chat group of each room at Tencent IM."""

import secrets

from pymongo import ReturnDocument

from storage.database import Collection, Database


class RoomGroupStore:
    """Which group a room has, whether it exists (`group_ready`), and which is to replace it."""

    def __init__(self, database: Database) -> None:
        self._rooms: Collection = database.collection("rooms")

    async def make_indexes(self) -> None:
        await self._rooms.create_index("group_id")

    async def mark_ready(self, live_id: int, group_id: str) -> None:
        """Note that the group exists, unless the room has another one by now."""
        where = {"_id": live_id, "group_id": group_id}
        await self._rooms.update_one(where, {"$set": {"group_ready": True}})

    async def plan(self, live_id: int, dissolved: str) -> str | None:
        """The id of the group that is to replace `dissolved`, the same for all who ask.

        None if the room has another group by now.
        """
        is_planned = {"$eq": ["$next_group.replaces", "$group_id"]}
        new_plan = {"replaces": "$group_id", "group_id": new_group_id()}
        plan = {"$cond": [is_planned, "$next_group", new_plan]}
        room = await self._rooms.find_one_and_update(
            {"_id": live_id, "group_id": dissolved},
            [{"$set": {"next_group": plan}}],
            projection={"next_group": 1},
            return_document=ReturnDocument.AFTER,
        )
        return str(room["next_group"]["group_id"]) if room else None

    async def room_of(self, group_id: str) -> int | None:
        """The room whose present or next live uses this group."""
        in_use = [{"status": {"$ne": "ended"}}, {"group_ready": True}]
        room = await self._rooms.find_one({"group_id": group_id, "$or": in_use}, {"_id": 1})
        return int(room["_id"]) if room else None

    async def detach(self, host_id: str) -> str | None:
        """Detach the group of a host's room and assign a new id; the old id, None if not ready."""
        room = await self._rooms.find_one_and_update(
            {"host_id": host_id, "group_ready": True},
            {"$set": {"group_ready": False, "group_id": new_group_id()}},
        )
        return str(room["group_id"]) if room else None


def new_group_id() -> str:
    """A random id: a client of the IM application can create a group under any id it guesses."""
    return f"qlive_{secrets.token_hex(12)}"
