"""turns: what is done now and then by one process for all, and what came of it last."""

from contextlib import suppress
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from storage.database import Collection, Database, Document


class Turns:
    """By the database's clock. Whoever takes a turn and dies leaves it to the next one in time."""

    def __init__(self, database: Database) -> None:
        self._turns: Collection = database.collection("turns")

    async def take(self, name: str, seconds: float) -> bool:
        """Whether it is ours; if so, it is nobody's for so long."""
        due = {"$lte": [{"$ifNull": ["$due_at", "$$NOW"]}, "$$NOW"]}
        later = {"$add": ["$$NOW", int(seconds * 1000)]}
        steps: list[Document] = [
            {"$set": {"ours": due}},
            {"$set": {"due_at": {"$cond": ["$ours", later, "$due_at"]}}},
        ]
        try:
            turn = await self._turns.find_one_and_update(
                {"_id": name}, steps, upsert=True, return_document=ReturnDocument.AFTER
            )
        except DuplicateKeyError:  # of two who took the first one, the other was faster
            return False
        return bool(turn and turn["ours"])

    async def keep(self, name: str, result: dict[str, Any]) -> None:
        """Unless there is one by now that began later (`at`)."""
        older = [{"result.at": {"$exists": False}}, {"result.at": {"$lte": result["at"]}}]
        with suppress(DuplicateKeyError):
            await self._turns.update_one(
                {"_id": name, "$or": older}, {"$set": {"result": result}}, upsert=True
            )

    async def rest(self, name: str, seconds: float) -> None:
        """It is due again so much later."""
        later = {"$add": ["$$NOW", int(seconds * 1000)]}
        await self._turns.update_one({"_id": name}, [{"$set": {"due_at": later}}])

    async def kept(self, name: str) -> dict[str, Any]:
        """The last result, whoever had the turn; {} before the first."""
        row = await self._turns.find_one({"_id": name}, {"result": 1})
        return dict((row or {}).get("result", {}))
