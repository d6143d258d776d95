"""Users who are deleted, in two sweeps: the end of the account, then everything else."""

from functools import partial
from typing import Any

from chaos.api import open_room
from chaos.crash.environment import CrashEnvironment
from chaos.crash.paths import CrashPath, PreparedTargets, SweepPath
from chaos.crash.withdrawals import PREPARED

DELETION = "deletion"
FOUND_BY_NAME = ("users", "rooms", "moderation_items", "audit")
FOUND_BY_ID = {"tokens": "user_id", "matches": "users", "members": "_id"}
"""Where a user is found: collections with the name, and fields of others with the id."""


class DeletedUsers:
    """All users of a run whose deletion is planned."""

    def __init__(self, env: CrashEnvironment) -> None:
        self.env = env
        self._users = env.database.collection("users")
        self._ids: list[str] = []
        self._liked = ""
        take = PreparedTargets(env, self._plan_deletion, PREPARED).take
        self.paths: list[CrashPath] = [SweepPath(DELETION, take, self._make_due)]

    async def finish(self) -> None:
        """Have every deletion completed, on a server that does not crash."""
        await self.env.wait_until_none(partial(self._make_due, self._ids), "users_not_deleted")

    async def check(self) -> dict[str, int]:
        """Add what is left of the deleted users to the violations; returns the metrics."""
        for name, field in FOUND_BY_ID.items():
            self._report(name, await self.env.rows(name, {field: {"$in": self._ids}}))
        for name in FOUND_BY_NAME:
            rows = await self.env.rows(name)
            self._report(name, [row for row in rows if "leaver-" in str(row)])
        deleted = {"_id": {"$in": self._ids}, "deleted_at": {"$ne": None}, "former": None}
        return {"leavers": len(self._ids), "deleted": await self._users.count_documents(deleted)}

    async def _plan_deletion(self) -> str:
        """Create a matchmaker with a live room, who is to be deleted in a week; return her id."""
        name = f"leaver-{len(self._ids)}"
        user = await self.env.create_user(name, 2)
        await user.post("qlive_user/update_userinfo/", nickname=name)
        await open_room(self.env, user, name)
        room = {"live_id": user.live_id, "room_name": f"room of {name}"}
        await user.post("qlive_room/update_room/", **room)
        self._liked = self._liked or (await self.env.create_user("liked", 1)).id
        await user.post("qlive_like/", user_id=self._liked, like_state=1)
        await user.post("qlive_user/delete/")
        self._ids.append(user.id)
        return user.id

    async def _make_due(self, ids: list[str]) -> list[str]:
        """Make those due that are not deleted yet; returns them."""
        left: dict[str, Any] = {"_id": {"$in": ids}, "delete_at": {"$ne": None}}
        await self.env.set_due("users", left, field="delete_at")
        return [row["_id"] for row in await self.env.rows("users", left)]

    def _report(self, name: str, rows: list[Any]) -> None:
        for row in rows:
            self.env.violations.add("left_of_a_deleted_user", f"{name}: {row['_id']}")
