"""tokens: who is logged in; `_id` is a hash, so that the collection opens no door."""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from storage.database import Collection, Database
from storage.loader import Loader

PER_USER = 5
_RENEW_AFTER = timedelta(hours=1)


class Tokens:
    """Tokens of 40 hex digits that die `days` after they were last used."""

    def __init__(self, database: Database, days: int) -> None:
        self._tokens: Collection = database.collection("tokens")
        self._by_id = Loader(self._tokens, dict)
        self._life = timedelta(days=days)

    async def make_indexes(self) -> None:
        await self._tokens.create_index("user_id")
        await self._tokens.create_index("expires_at", expireAfterSeconds=0)

    async def issue(self, user_id: str) -> tuple[str, list[str]]:
        """A new token, and the ids of those that had to go: of more than PER_USER the oldest."""
        token = secrets.token_hex(20)
        now = datetime.now(UTC)
        row = {"user_id": user_id, "made_at": now, "expires_at": now + self._life}
        await self._tokens.insert_one({"_id": token_id(token), **row})
        mine = self._tokens.find({"user_id": user_id, "revoked": None}, {"_id": 1})
        old = await mine.sort([("made_at", -1), ("_id", 1)]).skip(PER_USER).to_list()
        dropped = [row["_id"] for row in old]
        if dropped:
            await self._tokens.delete_many({"_id": {"$in": dropped}})
        return token, dropped

    async def owner(self, token: str) -> str | None:
        """The user_id, or None for a token that is unknown, revoked or too old."""
        row = await self._by_id.get(token_id(token))
        now = datetime.now(UTC)
        if row is None or row["expires_at"] <= now or row.get("revoked"):
            return None
        if row["expires_at"] < now + self._life - _RENEW_AFTER:
            renewed = {"$set": {"expires_at": now + self._life}}
            await self._tokens.update_one({"_id": row["_id"]}, renewed)
        return str(row["user_id"])

    async def revoke(self, token: str) -> None:
        """It opens nothing any more; for a day we still know that it was given back."""
        day = datetime.now(UTC) + timedelta(days=1)
        await self._set(token, revoked=True, expires_at=day)

    async def settle(self, token: str) -> None:
        """All that giving it back stands for has been done."""
        await self._set(token, settled=True)

    async def given_back(self, token: str) -> tuple[str, bool] | None:
        """Whose a revoked token was, and whether that is settled."""
        row = await self._tokens.find_one({"_id": token_id(token), "revoked": True})
        return (str(row["user_id"]), row.get("settled", False)) if row else None

    async def _set(self, token: str, **fields: Any) -> None:
        await self._tokens.update_one({"_id": token_id(token)}, {"$set": fields})


def token_id(token: str) -> str:
    """What a token is known by where it must open nothing."""
    return hashlib.sha256(token.encode()).hexdigest()
