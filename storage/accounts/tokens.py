"""tokens: login tokens, keyed by their hash so that a database dump reveals none.

evictions: messages that must reach every process even while Redis is down.
code_sessions: WeChat's sessions of logins that found no user, until that user registers.
"""

import hashlib
import json
import secrets
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne

from core.batching import BatchLoader, RequestBatcher, parsed
from storage.accounts.users import User, user_from
from storage.database import Collection, Database, Document
from storage.documents import documents_by_id, token_id
from storage.field_cipher import FieldCipher

MAX_PER_USER = 5
USER_DIGITS = 8
"""Hex digits at the start of a token, the same for all tokens of a user."""
UNUSED_LIFETIME = timedelta(days=30)
"""A token expires after so long without use. A phone that is opened monthly stays logged in."""
LIFETIME = timedelta(days=180)
"""A token expires so long after its login, which also ends a stolen one in constant use. Clients
log in again by themselves."""
_RENEW_AFTER = timedelta(hours=1)
_MAX_USES = 500
"""Uses stored by one command, well within its timeout."""
_ENDED: Document = {"revoked": True, "logout_complete": True}
"""Fields of a token whose session was ended by others: there is no logout to complete."""
CODE_LIFETIME = timedelta(minutes=5)
"""As long as WeChat's codes are valid."""
EVICTION_TTL_SECONDS = 300
OVERLAP = timedelta(seconds=5)
"""Evictions may become visible out of timestamp order, so this much is read again."""


@dataclass(frozen=True, slots=True)
class UserSession:
    """A login that has not ended; `id`, the hash of its token, grants no access."""

    id: str
    made_at: datetime
    used_at: datetime
    """The last use, up to an hour too early."""
    expires_at: datetime


class TokenStore:
    """Tokens of 40 hex digits that expire UNUSED_LIFETIME after their last use.

    They expire at latest LIFETIME after they were issued. The first USER_DIGITS are the same for
    all tokens of a user, so that nginx.conf can send the user's requests to one process; the others
    are random.
    """

    def __init__(self, database: Database) -> None:
        self._tokens: Collection = database.collection("tokens")
        self._by_id = documents_by_id(self._tokens, dict)
        self._with_user = BatchLoader(self._load_with_users)
        self._uses: RequestBatcher[tuple[str, Document], bool] = RequestBatcher(
            self._store_uses, _MAX_USES
        )

    async def make_indexes(self) -> None:
        await self._tokens.create_index("user_id")
        await self._tokens.create_index("expires_at", expireAfterSeconds=0)

    async def issue(self, user_id: str) -> tuple[str, list[str]]:
        """Return a new token, and the ids of those it displaces, beyond MAX_PER_USER."""
        user_digits = hashlib.sha256(user_id.encode()).hexdigest()[:USER_DIGITS]
        token = user_digits + secrets.token_hex(16)
        now = datetime.now(UTC)
        times = {"made_at": now, **_use_at(now, made_at=now)}
        row = {"user_id": user_id, "revoked": False, "logout_complete": False, **times}
        await self._tokens.insert_one({"_id": token_id(token), **row})
        mine = self._tokens.find({"user_id": user_id, "revoked": False}, {"_id": 1})
        old = await mine.sort([("made_at", -1), ("_id", 1)]).skip(MAX_PER_USER).to_list()
        dropped = [row["_id"] for row in old]
        if dropped:
            await self._tokens.delete_many({"_id": {"$in": dropped}})
        return token, dropped

    async def user_id_of(self, token: str) -> str | None:
        """Return the user_id, or None if the token is unknown, revoked or expired.

        Stores the use and extends the expiry, at most once per _RENEW_AFTER.
        """
        row = await self._by_id.get(token_id(token))
        return str(row["user_id"]) if row and await self._use(row) else None

    async def user_of(self, token: str) -> User | None:
        """Return the user, read together with the token; None as for `user_id_of`, or if deleted.

        Both are read from the database after the call. Stores the use as `user_id_of` does.
        """
        found = await self._with_user.get(token_id(token))
        if found is None or not await self._use(found[0]):
            return None
        return found[1]

    async def invalid(self, ids: Sequence[str]) -> dict[str, str | None]:
        """Return the token ids that are no longer valid, with the user_id of stored ones."""
        now = datetime.now(UTC)
        rows = await self._tokens.find({"_id": {"$in": list(ids)}}).to_list()
        valid = {row["_id"] for row in rows if self._is_valid(row, now)}
        owners = {row["_id"]: str(row["user_id"]) for row in rows}
        return {id_: owners.get(id_) for id_ in ids if id_ not in valid}

    async def sessions(self, user_id: str) -> list[UserSession]:
        """Return the user's valid tokens, newest first."""
        found = self._tokens.find({"user_id": user_id, "revoked": False})
        rows = await found.sort([("made_at", -1), ("_id", 1)]).to_list()
        now = datetime.now(UTC)
        return [
            UserSession(row["_id"], row["made_at"], row["used_at"], row["expires_at"])
            for row in rows
            if self._is_valid(row, now)
        ]

    async def end_sessions(self, user_id: str, id_: str | None = None) -> list[str]:
        """Revoke all tokens of a user, or the one with this id; return the ids of the revoked.

        Their rows are kept until they expire, so that a banned user's are recognized.
        """
        mine = {"user_id": user_id, "revoked": False, **({"_id": id_} if id_ else {})}
        ids = [row["_id"] for row in await self._tokens.find(mine, {"_id": 1}).to_list()]
        # The condition again: a logout that began meanwhile is to complete.
        await self._tokens.update_many({**mine, "_id": {"$in": ids}}, {"$set": _ENDED})
        return ids

    async def revoke(self, token: str) -> None:
        """Revoke a token; its row is kept for a day, so that a logout can be repeated."""
        expires_at = datetime.now(UTC) + timedelta(days=1)
        await self._set(token, revoked=True, expires_at=expires_at)

    async def mark_logout_complete(self, token: str) -> None:
        await self._set(token, logout_complete=True)

    async def revoked_owner(self, token: str) -> tuple[str, bool] | None:
        """Return the owner of a revoked token, and whether its logout is complete."""
        row = await self._by_id.get(token_id(token))
        return (
            (str(row["user_id"]), bool(row["logout_complete"])) if row and row["revoked"] else None
        )

    async def _load_with_users(
        self, ids: Sequence[Hashable]
    ) -> dict[Hashable, tuple[Document, User | None] | Exception]:
        def with_user(row: Document) -> tuple[Document, User | None]:
            user = user_from(row["users"][0]) if row["users"] else None
            return row, user if user and user.deleted_at is None else None

        user = {"from": "users", "localField": "user_id", "foreignField": "_id", "as": "users"}
        steps: list[Document] = [{"$match": {"_id": {"$in": [*ids]}}}, {"$lookup": user}]
        rows = await (await self._tokens.aggregate(steps)).to_list()
        return {row["_id"]: parsed(row, with_user) for row in rows}

    async def _use(self, row: Document) -> bool:
        """Return whether the token is valid, and store that it was used."""
        now = datetime.now(UTC)
        if not self._is_valid(row, now):
            return False
        used = _use_at(now, made_at=row["made_at"])
        extends = row["expires_at"] < used["expires_at"] - _RENEW_AFTER
        if extends or row["used_at"] < now - _RENEW_AFTER:
            return await self._uses.submit(0, (row["_id"], used))
        return True

    async def _store_uses(self, _queue: int, uses: Sequence[tuple[str, Document]]) -> list[bool]:
        """Store the fields of used tokens, by id; False for a token that has ended meanwhile.

        The clients of a killed process reconnect together, most of them with tokens to extend.
        """
        updates = [UpdateOne({"_id": id_, "revoked": False}, {"$set": used}) for id_, used in uses]
        result = await self._tokens.bulk_write(updates, ordered=False)
        if result.matched_count == len(uses):
            return [True] * len(uses)
        ended = await self.invalid([id_ for id_, _ in uses])
        return [id_ not in ended for id_, _ in uses]

    def _is_valid(self, row: Document, now: datetime) -> bool:
        """Return whether a token may be used: not revoked, not expired, not older than LIFETIME.

        Its `expires_at` may be later than LIFETIME allows, if a release has shortened that since.
        """
        lives = row["expires_at"] > now and row["made_at"] + LIFETIME > now
        return lives and not row["revoked"]

    async def _set(self, token: str, **fields: Any) -> None:
        await self._tokens.update_one({"_id": token_id(token)}, {"$set": fields})


class EvictionStore:
    """Message log polled by every process; each instance returns each message once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._messages: Collection = database.collection("evictions")
        self._read_ids: set[ObjectId] = set()
        self._read_until: datetime | None = None

    async def make_indexes(self) -> None:
        await self._messages.create_index("at", expireAfterSeconds=EVICTION_TTL_SECONDS)

    async def now_ms(self) -> int:
        """Return the time of the database, by which sockets are numbered."""
        return int((await self._database.now()).timestamp() * 1000)

    async def append(self, message: bytes) -> None:
        """Append a message, stamped by the database's clock, which all processes share."""
        change = {"$set": {"message": {"$literal": message}, "at": "$$NOW"}}
        await self._messages.update_one({"_id": ObjectId()}, [change], upsert=True)

    async def poll(self) -> list[bytes]:
        """Return the messages posted since the last call; the first call returns none."""
        first = self._read_until is None
        until = self._read_until or await self._database.now()
        where = {"at": {"$gte": until - OVERLAP}}
        rows = await self._messages.find(where).sort("at", 1).to_list()
        fresh = [row for row in rows if row["_id"] not in self._read_ids]
        self._read_ids = {row["_id"] for row in rows}
        self._read_until = max([until, *(row["at"] for row in rows)])
        return [] if first else [row["message"] for row in fresh]


def _use_at(now: datetime, *, made_at: datetime) -> Document:
    return {"used_at": now, "expires_at": min(now + UNUSED_LIFETIME, made_at + LIFETIME)}


class CodeSessionStore:
    """One document for each code, found by its hash; the session is encrypted."""

    def __init__(self, database: Database, cipher: FieldCipher) -> None:
        self._sessions: Collection = database.collection("code_sessions")
        self._cipher = cipher

    async def make_indexes(self) -> None:
        await self._sessions.create_index("expires_at", expireAfterSeconds=0)

    async def keep(self, app_id: str, code: str, openid: str, session_key: str) -> None:
        key = _code_key(app_id, code)
        encrypted = self._cipher.encrypt(json.dumps([openid, session_key]), key)
        fields = {"session": encrypted, "expires_at": datetime.now(UTC) + CODE_LIFETIME}
        await self._sessions.update_one({"_id": key}, {"$setOnInsert": fields}, upsert=True)

    async def find(self, app_id: str, code: str) -> list[str] | None:
        """Return openid and session key of a code; [] if they were used, None if none are kept."""
        key = _code_key(app_id, code)
        row = await self._sessions.find_one({"_id": key, "expires_at": {"$gt": datetime.now(UTC)}})
        if row is None:
            return None
        return list(json.loads(self._cipher.decrypt(row["session"], key) or "[]"))

    async def use(self, app_id: str, code: str) -> bool:
        """Delete the session of a code, if one is kept; return False if that was done before."""
        used = {"$set": {"session": b""}}
        row = await self._sessions.find_one_and_update({"_id": _code_key(app_id, code)}, used)
        return row is None or row["session"] != b""


def _code_key(app_id: str, code: str) -> str:
    return token_id(f"{app_id}\n{code}")
