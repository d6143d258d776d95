"""What a tray of gifts goes by, and what it moves: the book, the purses, the rankings."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeVar

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from money.book import Answer, Purse
from money.gift import Present
from money.tray import Move, Stored, Tray
from rooms.keeper import Raced
from rooms.people import Face, Person
from storage.database import Collection, Database, Document, Session
from storage.ledger import row_of
from storage.ranks import Ranks

T = TypeVar("T")
DUPLICATE_KEY = 11000
SHOWN = {"gold": 1, "income": 1, "nickname": 1, "face_url": 1, "gender": 1}


class Known(NamedTuple):
    """What there was to know when it was looked at, of those people who exist."""

    tray: Tray
    faces: dict[str, Face]


class Trays:
    """A tray is decided on what was read before its transaction, and written only if every purse
    is what it was and every key is free: else it is Raced, to be looked at and decided again."""

    def __init__(self, database: Database, ranks: Ranks) -> None:
        self._database = database
        self._ledger: Collection = database.collection("ledger")
        self._users: Collection = database.collection("users")
        self._ranks = ranks

    async def alone(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """A transaction of its own, tried again while it loses races."""
        return await self._database.until_won(work)

    async def look(self, presents: Sequence[Present]) -> Known:
        """Two reads, or three when there are some that may be retries. The purses first: whoever
        finds one that has paid for an entry finds the entry, too."""
        names = {who for present in presents for who in (present.sender, present.receiver)}
        rows = await self._users.find({"_id": {"$in": [*names]}}, SHOWN).to_list()
        purses = {row["_id"]: Purse(row["gold"], row["income"]) for row in rows}
        faces = {row["_id"]: _face_of(row) for row in rows}
        at = datetime.now(UTC)
        written = await self._written([p.key for p in presents if p.request_id])
        same = await self._same([p for p in presents if p.may_be_a_retry], at)
        return Known(Tray(at, purses, written, same), faces)

    async def write(self, session: Session, tray: Tray) -> None:
        """All of it, or Raced."""
        rows = [row_of(entry, heard, tray.at) for entry, heard in tray.entries]
        try:
            await self._ledger.insert_many(rows, session=session)
        except BulkWriteError as error:
            if any(it["code"] == DUPLICATE_KEY for it in error.details["writeErrors"]):
                raise Raced from None
            raise
        if moves := [_shift(move) for move in tray.moves]:
            done = await self._users.bulk_write(moves, session=session)
            if done.matched_count != len(moves):
                raise Raced
        await self._ranks.add(tray.marks, session)

    async def _written(self, keys: Sequence[str]) -> dict[str, Stored]:
        if not keys:
            return {}
        shown = {"content": 1, "answer": 1}
        rows = await self._ledger.find({"_id": {"$in": [*keys]}}, shown).to_list()
        return {row["_id"]: Stored(row["content"], row["answer"]) for row in rows}

    async def _same(
        self, presents: Sequence[Present], now: datetime
    ) -> dict[tuple[str, str, int, int], Answer]:
        """Of each that may be a retry: the answer to the latest like it, if there is one."""
        if not presents:
            return {}
        like = {p.likeness: _like(p, now) for p in presents}
        shown = {"by": 1, "content": 1, "answer": 1}
        rows = await self._ledger.find({"$or": [*like.values()]}, shown).sort("at", 1).to_list()
        return {_likeness_of(row): row["answer"] for row in rows}


def _face_of(row: Document) -> Face:
    return Person(row["_id"], row["nickname"], row["face_url"], row["gender"]).face()


def _like(present: Present, now: datetime) -> Document:
    since = now - timedelta(milliseconds=present.repeat_ms)
    content = dict(present.content)
    return {"by": present.sender, "kind": "gift", "at": {"$gte": since}, "content": content}


def _likeness_of(row: Document) -> tuple[str, str, int, int]:
    content = row["content"]
    return row["by"], content["to"], content["gift_id"], content["num"]


def _shift(move: Move) -> UpdateOne:
    """The purse is named as it was: nobody else may have moved it, and it cannot fall below 0."""
    was, becomes = move.was, move.becomes
    change = {"gold": becomes.gold - was.gold, "income": becomes.income - was.income}
    return UpdateOne({"_id": move.user_id, **was._asdict()}, {"$inc": change})
