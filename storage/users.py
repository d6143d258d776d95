"""users: one document per person, `_id` their 8-digit user_id."""

import asyncio
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from rooms.people import Person
from rooms.refusals import NoSuchUser
from storage.database import Collection, Database, Document, Session
from storage.loader import Loader
from storage.members import Members


@dataclass(frozen=True, slots=True)
class User:
    """`gold` and `income` are the running sums of the ledger's lines, changed only with them."""

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
    """Gold to be given back for refunds, which is not there."""
    is_matchmaker: bool = False
    banned: bool = False
    ban_reason: str = ""
    last_login_time: datetime | None = None
    continuous_time: int = 0
    """Seconds of live that this host has held, all told."""

    def person(self) -> Person:
        return Person(self.user_id, self.nickname, self.face_url, self.gender, self.area, self.age)


class Users:
    def __init__(self, database: Database, members: Members) -> None:
        self._database = database
        self._members = members
        self._users: Collection = database.collection("users")
        self._by_id = Loader(self._users, user_from)

    async def make_indexes(self) -> None:
        await self._users.create_index([("app_id", 1), ("openid", 1)], unique=True)
        await self._users.create_index("nickname")
        await self._users.create_index("owed", partialFilterExpression={"owed": {"$gt": 0}})

    async def create(self, app_id: str, openid: str, **known: Any) -> tuple[User, bool]:
        """The one user of (app_id, openid), and whether they are new."""
        while True:
            user_id = str(secrets.randbelow(90_000_000) + 10_000_000)
            user = User(user_id, app_id, openid, datetime.now(UTC), **known)
            try:
                await self._users.insert_one(_to(user))
                return user, True
            except DuplicateKeyError:  # the person, or another with that number
                if found := await self.by_openid(app_id, openid):
                    return found, False

    async def keep_session_key(self, user_id: str, sealed: bytes) -> None:
        """WeChat's, of the latest login."""
        await self._users.update_one({"_id": user_id}, {"$set": {"session_key": sealed}})

    async def session_key(self, user_id: str) -> bytes:
        """As it was kept; empty when there is none."""
        row = await self._users.find_one({"_id": user_id}, {"session_key": 1})
        return bytes((row or {}).get("session_key", b""))

    async def by_openid(self, app_id: str, openid: str) -> User | None:
        row = await self._users.find_one({"app_id": app_id, "openid": openid})
        return user_from(row) if row else None

    async def find(self, user_id: str) -> User | None:
        return await self._by_id.get(user_id)

    async def get(self, user_id: str) -> User:
        """NoSuchUser when there is none."""
        if user := await self.find(user_id):
            return user
        raise NoSuchUser

    async def many(self, user_ids: list[str]) -> list[User]:
        """Those of them who exist, in the order asked for."""
        found = await asyncio.gather(*map(self._by_id.get, user_ids))
        return [user for user in found if user]

    async def search(self, text: str, after: str, limit: int, *, owing: bool) -> list[User]:
        """People whose user_id or nickname begins with `text`, by user_id; only those who owe
        gold, when they are asked for."""
        where: Document = {"_id": {"$gt": after}, **({"owed": {"$gt": 0}} if owing else {})}
        if text:
            span = {"$gte": text, "$lt": text + "\uffff"}
            where["$or"] = [{"_id": span}, {"nickname": span}]
        rows = await self._users.find(where).sort("_id", 1).limit(limit).to_list()
        return [user_from(row) for row in rows]

    async def update_profile(self, user_id: str, **fields: Any) -> User:
        """Set what people say of themselves; InUse for a gender while applied or on mic."""

        async def together(session: Session) -> User:
            if "gender" in fields:
                await self._members.set_gender(user_id, fields["gender"], session)
            return await self.update(user_id, session, **fields)

        return await self._database.until_won(together)

    async def update(self, user_id: str, session: Session | None = None, **fields: Any) -> User:
        """Set some fields (never gold or income); answers the user as they are now."""
        row = await self._users.find_one_and_update(
            {"_id": user_id},
            {"$set": fields},
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        if row is None:
            raise NoSuchUser
        return user_from(row)


def _to(user: User) -> Document:
    document = asdict(user)
    document["_id"] = document.pop("user_id")
    return document


def user_from(row: Document) -> User:
    """What a later version stores besides is no business of this one."""
    known = {name: row[name] for name in User.__slots__ if name in row}
    return User(**{**known, "user_id": row["_id"]})
