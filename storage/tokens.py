"""tokens: login tokens, keyed by their hash so that a database dump reveals none."""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from storage.database import Collection, Database
from storage.documents import documents_by_id

MAX_PER_USER = 5
_RENEW_AFTER = timedelta(hours=1)


class TokenStore:
    """Tokens of 40 hex digits that expire `days` after their last use."""

    def __init__(self, database: Database, days: int) -> None:
        self._tokens: Collection = database.collection("tokens")
        self._by_id = documents_by_id(self._tokens, dict)
        self._lifetime = timedelta(days=days)

    async def make_indexes(self) -> None:
        await self._tokens.create_index("user_id")
        await self._tokens.create_index("expires_at", expireAfterSeconds=0)

    async def issue(self, user_id: str) -> tuple[str, list[str]]:
        """A new token, and the ids of the tokens deleted for it: the oldest beyond MAX_PER_USER."""
        token = secrets.token_hex(20)
        now = datetime.now(UTC)
        row = {"user_id": user_id, "made_at": now, "expires_at": now + self._lifetime}
        await self._tokens.insert_one({"_id": token_id(token), **row})
        mine = self._tokens.find({"user_id": user_id, "revoked": None}, {"_id": 1})
        old = await mine.sort([("made_at", -1), ("_id", 1)]).skip(MAX_PER_USER).to_list()
        dropped = [row["_id"] for row in old]
        if dropped:
            await self._tokens.delete_many({"_id": {"$in": dropped}})
        return token, dropped

    async def user_id_of(self, token: str) -> str | None:
        """The user_id, or None if the token is unknown, revoked or expired.

        Extends the expiry, at most once per _RENEW_AFTER.
        """
        row = await self._by_id.get(token_id(token))
        now = datetime.now(UTC)
        if row is None or row["expires_at"] <= now or row.get("revoked"):
            return None
        if row["expires_at"] < now + self._lifetime - _RENEW_AFTER:
            renewed = {"$set": {"expires_at": now + self._lifetime}}
            await self._tokens.update_one({"_id": row["_id"]}, renewed)
        return str(row["user_id"])

    async def revoke(self, token: str) -> None:
        """Revoke a token; its row is kept for a day, so that a logout can be repeated."""
        expires_at = datetime.now(UTC) + timedelta(days=1)
        await self._set(token, revoked=True, expires_at=expires_at)

    async def mark_logout_complete(self, token: str) -> None:
        """Record that the logout of a revoked token is complete."""
        await self._set(token, settled=True)

    async def revoked_owner(self, token: str) -> tuple[str, bool] | None:
        """Owner of a revoked token, and whether its logout is complete; None if not revoked."""
        row = await self._tokens.find_one({"_id": token_id(token), "revoked": True})
        return (str(row["user_id"]), row.get("settled", False)) if row else None

    async def _set(self, token: str, **fields: Any) -> None:
        await self._tokens.update_one({"_id": token_id(token)}, {"$set": fields})


def token_id(token: str) -> str:
    """Hash that identifies a token without granting access."""
    return hashlib.sha256(token.encode()).hexdigest()
