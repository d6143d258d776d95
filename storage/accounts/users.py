"""users: one document per user; `_id` is the 8-digit user_id."""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from core.errors import WriteConflict
from core.retry import retry_on_conflict
from ledger.journal import DEBTS
from rooms.events import NewEvent
from rooms.members import Person
from storage.database import Collection, Database, Document, Session
from storage.documents import (
    change_one,
    document_of,
    known_fields,
    make_partial_index,
    starts_with,
)
from storage.errors import UserNotFound
from storage.field_cipher import FieldCipher
from storage.identities import IdentityStore
from storage.rooms.members import MemberStore
from storage.user_channels import UserChannelStore
from storage.webhooks.payloads import UserRegisteredPayload
from storage.webhooks.webhooks import WebhookStore
from storage.write_batch import GroupCommit, WriteBatch

ADULT_YEARS = 18
IS_DEBTOR: Document = {"$or": [{debt: {"$gt": 0}} for debt in DEBTS.values()]}
"""Users who owe gold or income."""


@dataclass(frozen=True, slots=True)
class User:
    """A user's document; `gold` and `income` are ledger balances, changed only with an entry.

    The document has more: `giver` (ledger/giving.py), which changes with gifts, and `session_key`.
    """

    user_id: str
    app_id: str
    openid: str
    create_time: datetime
    nickname: str = ""
    face_url: str = ""
    gender: int = 0
    area: str = ""
    age: int = 0
    height: int = 0
    gold: int = 0
    income: int = 0
    owed: int = 0
    """Gold still to be recovered for refunds, because the balance was too low."""
    owed_income: int = 0
    """Income still to be recovered for refunds; it cannot be withdrawn."""
    is_matchmaker: bool = False
    banned: bool = False
    ban_reason: str = ""
    muted_in: int = 0
    """live_id of the room in whose chat group a ban has muted the user; 0 for none."""
    has_blocks: bool = False
    """Whether the user has ever blocked another or been blocked (storage/moderation.py)."""
    risk_rank: int = 0
    """WeChat's rank of the user's risk, 0 (unknown) to 4 (high)."""
    age_verified_at: datetime | None = None
    """When the user was verified as an adult."""
    age_refused: bool = False
    """Whether an operator has withdrawn the verification; then only an operator verifies again."""
    stream_forbidden_until: datetime | None = None
    """Until when the user may not push video, for what an earlier stream has shown."""
    show_in_ranking: bool = False
    """Whether the user agreed to be shown in rankings."""
    delete_at: datetime | None = None
    """When the deletion of the user is due."""
    deleted_at: datetime | None = None
    """When the deletion began (storage/accounts/deletions.py)."""
    last_login_time: datetime | None = None
    continuous_time: int = 0
    """Total seconds of live sessions hosted."""

    @property
    def may_stream(self) -> bool:
        until = self.stream_forbidden_until
        return until is None or until <= datetime.now(UTC)

    def person(self) -> Person:
        return Person(self.user_id, self.nickname, self.face_url, self.gender, self.area, self.age)


class UserStore:
    """Users by user_id, and by app and openid; concurrent reads share one query."""

    def __init__(
        self,
        database: Database,
        members: MemberStore,
        channels: UserChannelStore,
        webhooks: WebhookStore,
        cipher: FieldCipher,
    ) -> None:
        self._database = database
        self._identities = IdentityStore(database)
        self._members = members
        self._channels = channels
        self._webhooks = webhooks
        self._commits = GroupCommit(database)
        self._cipher = cipher
        self._users: Collection = database.collection("users")
        self._by_id = database.joint_reads.by_id("users", user_from)

    async def make_indexes(self) -> None:
        await self._users.create_index("nickname")
        for debt in DEBTS.values():
            await make_partial_index(self._users, debt, 0)

    async def create(self, app_id: str, openid: str, **fields: Any) -> tuple[User, bool]:
        """Insert the user of (app_id, openid), or return the existing one; True if inserted.

        Raises TryAgain if another request does not end its own insertion.
        """
        return await retry_on_conflict(lambda: self._create(app_id, openid, fields))

    async def _create(self, app_id: str, openid: str, fields: Document) -> tuple[User, bool]:
        user_id = str(secrets.randbelow(90_000_000) + 10_000_000)
        user = User(user_id, app_id, openid, datetime.now(UTC), **fields)
        batch = WriteBatch()
        self._identities.add_to(batch, "openid", identity_of(app_id, openid), user_id)
        batch.insert("users", document_of(user, "user_id"))
        registered = NewEvent("user.registered", UserRegisteredPayload(user_id=user_id))
        await self._webhooks.add_to(batch, registered)
        try:
            await self._commits.commit(batch)
        except WriteConflict:  # (app_id, openid) exists, or the random user_id is taken
            if found := await self.by_openid(app_id, openid):
                return found, False
            raise
        await self._channels.create(user_id)
        return user, True

    async def store_session_key(self, user_id: str, key: str) -> None:
        """Store WeChat's session key of the latest login, encrypted."""
        encrypted = self._cipher.encrypt(key, user_id)
        await self._users.update_one({"_id": user_id}, {"$set": {"session_key": encrypted}})

    async def session_key(self, user_id: str) -> str | None:
        """Return the session key; None if none is stored, or `auth.encryption_key` has changed."""
        row = await self._users.find_one({"_id": user_id}, {"session_key": 1})
        return self._cipher.decrypt((row or {}).get("session_key", b""), user_id)

    async def by_openid(self, app_id: str, openid: str) -> User | None:
        """Return the user of (app_id, openid); None as well if a deletion has just freed it."""
        user_id = await self._identities.find("openid", identity_of(app_id, openid))
        user = await self.find(user_id) if user_id else None
        return user if user and user.deleted_at is None else None

    def find(self, user_id: str) -> Awaitable[User | None]:
        return self._by_id.get(user_id)

    async def get(self, user_id: str, *, deleted: bool = False) -> User:
        """Return the user. Raises UserNotFound, also for a deleted one unless `deleted` is true."""
        user = await self.find(user_id)
        if user and (deleted or user.deleted_at is None):
            return user
        raise UserNotFound

    async def find_many(self, user_ids: list[str]) -> list[User]:
        """Return the existing users among `user_ids`, in the same order."""
        return [user for user in await self._by_id.get_many(user_ids) if user]

    async def shown_in_rankings(self, user_ids: list[str]) -> list[User]:
        """Return the users among `user_ids` who agreed to be shown, in the same order."""
        where = {"_id": {"$in": user_ids}, "show_in_ranking": True}
        shown = {row["_id"]: user_from(row) async for row in self._users.find(where)}
        return [shown[user_id] for user_id in user_ids if user_id in shown]

    def add_time_on_air(self, batch: WriteBatch, host_id: str, seconds: int) -> None:
        change = {"$inc": {"continuous_time": seconds}}
        batch.update_if_present("users", {"_id": host_id}, change)

    async def plan_deletion(self, user_id: str, at: datetime | None) -> datetime | None:
        """Plan the deletion for this time, or as planned before; None cancels it.

        Returns the planned time. Raises UserNotFound, also for a deleted user.
        """
        planned = {"$ifNull": ["$delete_at", at]} if at else None
        where = {"_id": user_id, "deleted_at": None}
        row = await change_one(self._users, where, [{"$set": {"delete_at": planned}}])
        if row is None:
            raise UserNotFound
        return user_from(row).delete_at

    async def search(self, text: str, after: str, limit: int, *, owing: bool) -> list[User]:
        """Return users whose user_id or nickname starts with `text`, by user_id, after `after`.

        `owing` limits them to users who owe gold or income.
        """
        where: Document = {"$and": [{"_id": {"$gt": after}}]}
        if owing:
            where["$and"].append(IS_DEBTOR)
        if text:
            where["$or"] = [{"_id": starts_with(text)}, {"nickname": starts_with(text)}]
        rows = await self._users.find(where).sort("_id", 1).limit(limit).to_list()
        return [user_from(row) for row in rows]

    async def update_with(
        self,
        user_id: str,
        in_transaction: Callable[[Session, User], Awaitable[None]],
        **fields: Any,
    ) -> User:
        """Do what `update` does, together with what `in_transaction` writes, atomically.

        `in_transaction` receives the updated user, whose other fields are those of the transaction.
        Raises GenderInUse if the gender changes while the user is applied, invited or on mic.
        """

        async def work(session: Session) -> User:
            if "gender" in fields:
                await self._members.set_gender(user_id, fields["gender"], session)
            user = await self.update(user_id, session, **fields)
            await in_transaction(session, user)
            return user

        return await self._database.transaction_with_retry(work)

    async def update(self, user_id: str, session: Session | None = None, **fields: Any) -> User:
        """Set fields (never gold or income) and return the updated user. Raises UserNotFound."""
        row = await change_one(self._users, {"_id": user_id}, {"$set": fields}, session)
        if row is None:
            raise UserNotFound
        return user_from(row)


def identity_of(app_id: str, openid: str) -> str:
    """Return the name of a user at WeChat, which IdentityStore knows."""
    return f"{app_id}:{openid}"


def user_from(row: Document) -> User:
    fields = {**known_fields(User, row), "user_id": row["_id"]}
    if fields.get("age", 0) < ADULT_YEARS:
        fields["age"] = 0  # stored before only adults were allowed: its owner is asked again
    return User(**fields)
