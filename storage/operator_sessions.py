"""operator_sessions: logins of operators, keyed by the hash of their token."""

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from storage.database import Collection, Database, Document
from storage.tokens import token_id

SESSION_TOKEN = re.compile("[0-9a-f]{64}")
RENEW_AFTER = timedelta(minutes=1)
"""A use is stored at most so often."""


@dataclass(frozen=True, slots=True)
class OperatorSession:
    """`credential` is that of the password with which the operator has logged in."""

    name: str
    credential: str
    expires_at: datetime


class OperatorSessionStore:
    """Sessions that expire `idle` after their last use, at latest `lifetime` after the login."""

    def __init__(self, database: Database, idle: timedelta, lifetime: timedelta) -> None:
        self._sessions: Collection = database.collection("operator_sessions")
        self._idle = idle
        self._lifetime = lifetime

    async def make_indexes(self) -> None:
        await self._sessions.create_index("name")
        await self._sessions.create_index("expires_at", expireAfterSeconds=0)

    async def issue(self, name: str, credential: str) -> tuple[str, OperatorSession]:
        """A new token of 64 hex digits, and its session."""
        token, now = secrets.token_hex(32), datetime.now(UTC)
        row: Document = {"name": name, "credential": credential, "made_at": now}
        row |= {"used_at": now, "expires_at": self._expiry(now, now)}
        await self._sessions.insert_one({"_id": token_id(token), **row})
        return token, _session_from(row)

    async def find(self, token: str, *, in_use: bool) -> OperatorSession | None:
        """The session, or None if it is unknown, ended or expired.

        `in_use`: a person is at the keyboard, which defers the expiry.
        """
        id_, now = token_id(token), datetime.now(UTC)
        row = await self._sessions.find_one({"_id": id_})
        if row is None or min(row["expires_at"], self._expiry(row["made_at"], now)) <= now:
            return None
        if in_use and row["used_at"] <= now - min(RENEW_AFTER, self._idle / 10):
            used = {"used_at": now, "expires_at": self._expiry(row["made_at"], now)}
            await self._sessions.update_one({"_id": id_}, {"$set": used})
        return _session_from(row)

    async def end(self, token: str) -> None:
        await self._sessions.delete_one({"_id": token_id(token)})

    async def end_all(self, name: str) -> None:
        await self._sessions.delete_many({"name": name})

    def _expiry(self, made_at: datetime, used_at: datetime) -> datetime:
        return min(used_at + self._idle, made_at + self._lifetime)


def _session_from(row: Document) -> OperatorSession:
    return OperatorSession(row["name"], row["credential"], row["expires_at"])
