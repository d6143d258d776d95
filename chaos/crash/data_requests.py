"""Users who are deleted, in two sweeps: the end of the account, then everything else."""

from typing import Any

from chaos.crash.environment import CrashEnvironment
from chaos.crash.marked_sweeps import DUE
from tests.support.waiting import until

LEFT_BY_NAME = ("users", "rooms", "moderation_items", "audit")
LEFT_BY_NUMBER = {"tokens": "user_id", "likes": "by", "members": "_id"}


class Leavers:
    """All users of a run whose deletion is planned."""

    def __init__(self, env: CrashEnvironment) -> None:
        self.env = env
        self._users = env.database.collection("users")
        self._ids: list[str] = []
        self._liked = ""

    async def planned(self) -> str:
        """The id of a matchmaker with a live room, who is to be deleted in a week."""
        name = f"leaver-{len(self._ids)}"
        user = await self.env.create_user(name, 2)
        await user.post("qlive_user/update_userinfo/", nickname=name)
        await self.env.ops_request("PATCH", f"users/{user.id}", is_matchmaker=True, reason=name)
        live_id = (await user.post("qlive_room/matchmaker_enter/")).json["live_id"]
        await user.post("qlive_room/update_room/", live_id=live_id, room_name=f"room of {name}")
        self._liked = self._liked or (await self.env.create_user("liked", 1)).id
        await user.post("qlive_like/", user_id=self._liked, like_state=1)
        await user.post("qlive_user/delete/")
        self._ids.append(user.id)
        return user.id

    async def run_step(self, ids: list[str]) -> list[str]:
        """Make those due that are not deleted yet; returns them."""
        left: dict[str, Any] = {"_id": {"$in": ids}, "delete_at": {"$ne": None}}
        await self._users.update_many(left, {"$set": {"delete_at": DUE}})
        return [row["_id"] for row in await self._users.find(left, {"_id": 1}).to_list()]

    async def settle(self) -> None:
        """Have every deletion completed, on a server that does not crash."""

        async def is_over() -> bool:
            return not await self.run_step(self._ids)

        await until(is_over)

    async def check(self) -> dict[str, int]:
        """Add what is left of the deleted users to the violations; returns the metrics."""
        for name, field in LEFT_BY_NUMBER.items():
            rows = (
                await self.env.database.collection(name).find({field: {"$in": self._ids}}).to_list()
            )
            self._report(name, rows)
        for name in LEFT_BY_NAME:
            rows = await self.env.database.collection(name).find().to_list()
            self._report(name, [row for row in rows if "leaver-" in str(row)])
        deleted = {"_id": {"$in": self._ids}, "deleted_at": {"$ne": None}, "former": None}
        return {"leavers": len(self._ids), "deleted": await self._users.count_documents(deleted)}

    def _report(self, name: str, rows: list[Any]) -> None:
        for row in rows:
            self.env.violations.add("left_of_a_deleted_user", f"{name}: {row['_id']}")
