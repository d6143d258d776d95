"""code_sessions: WeChat's sessions of logins that found no user, until that user registers."""

import json
from datetime import UTC, datetime, timedelta

from storage.database import Collection, Database
from storage.documents import token_id
from storage.field_cipher import FieldCipher

LIFETIME = timedelta(minutes=5)
"""As long as WeChat's codes are valid."""


class CodeSessionStore:
    """One document for each code, found by its hash; the session is encrypted."""

    def __init__(self, database: Database, cipher: FieldCipher) -> None:
        self._sessions: Collection = database.collection("code_sessions")
        self._cipher = cipher

    async def make_indexes(self) -> None:
        await self._sessions.create_index("expires_at", expireAfterSeconds=0)

    async def keep(self, app_id: str, code: str, openid: str, session_key: str) -> None:
        key = _key(app_id, code)
        encrypted = self._cipher.encrypt(json.dumps([openid, session_key]), key)
        fields = {"session": encrypted, "expires_at": datetime.now(UTC) + LIFETIME}
        await self._sessions.update_one({"_id": key}, {"$setOnInsert": fields}, upsert=True)

    async def find(self, app_id: str, code: str) -> list[str] | None:
        """Return openid and session key of a code; [] if they were used, None if none are kept."""
        key = _key(app_id, code)
        row = await self._sessions.find_one({"_id": key, "expires_at": {"$gt": datetime.now(UTC)}})
        if row is None:
            return None
        return list(json.loads(self._cipher.decrypt(row["session"], key) or "[]"))

    async def use(self, app_id: str, code: str) -> bool:
        """Delete the session of a code, if one is kept; return False if that was done before."""
        used = {"$set": {"session": b""}}
        row = await self._sessions.find_one_and_update({"_id": _key(app_id, code)}, used)
        return row is None or row["session"] != b""


def _key(app_id: str, code: str) -> str:
    return token_id(f"{app_id}\n{code}")
