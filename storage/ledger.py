"""ledger: the book; one immutable document per transaction, `_id` its idempotency key."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TypeVar

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from money.book import Answer, Entry, Heard, Line, Purse, account, debt
from money.rank import Mark, marks_of
from money.recharge import key_of
from money.refusals import InsufficientGold, NotOwed
from money.teller import AlreadyWritten
from rooms.refusals import NoSuchUser, TryAgain
from storage.database import PATIENCE_SECONDS, Collection, Database, Document, Session
from storage.pages import page, starts
from storage.ranks import Ranks

T = TypeVar("T")


class Ledger:
    """The teller's book. Balances stand beside it, in users, and move only with an entry."""

    def __init__(self, database: Database, ranks: Ranks) -> None:
        self._database = database
        self._ranks = ranks
        self._ledger: Collection = database.collection("ledger")
        self._users: Collection = database.collection("users")

    async def make_indexes(self) -> None:
        newest = [("at", -1), ("_id", -1)]
        await self._ledger.create_index([("lines.account", 1), *newest])
        await self._ledger.create_index([("by", 1), ("kind", 1), ("at", -1)])
        await self._ledger.create_index(newest)
        await self._ledger.create_index(
            [("live_id", 1), ("epoch", 1), ("seq", 1)],
            partialFilterExpression={"seq": {"$gt": 0}},
        )

    async def alone(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """A transaction of its own, tried again while it loses races."""
        return await self._database.until_won(work)

    async def find(self, key: str, session: Session | None = None) -> tuple[Answer, Answer] | None:
        """(content, answer) of the entry with this key."""
        shown = {"content": 1, "answer": 1}
        row = await self._ledger.find_one({"_id": key}, shown, session=session)
        return (row["content"], row["answer"]) if row else None

    async def settled(self, key: str) -> tuple[Answer, Answer]:
        """As `find`, of an entry that a transaction has seen: it is to be there to stay."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if found := await self.find(key):
                return found
            await asyncio.sleep(0.005)
        raise TryAgain

    async def entry(self, key: str) -> Entry | None:
        row = await self._ledger.find_one({"_id": key})
        return _entry_from(row) if row else None

    async def page(
        self, user_id: str, kind: str, after: str, limit: int, *, said: str = ""
    ) -> tuple[list[Document], str | None]:
        """For operators: with `said` a whole user id, or the start of a key, or of the number of
        the order that was paid; NoCursor."""
        where: Document = {"lines.account": account(user_id)} if user_id else {}
        if kind:
            where["kind"] = kind
        if said:
            keys = (said, key_of(said))
            where["$or"] = [
                {"lines.account": account(said)},
                *({"_id": starts(key)} for key in keys),
            ]
        return await page(self._ledger, where, "at", after, limit)

    async def purse(self, session: Session, user_id: str) -> Purse:
        row = await self._users.find_one(
            {"_id": user_id}, {"gold": 1, "income": 1}, session=session
        )
        if row is None:
            raise NoSuchUser
        return Purse(row["gold"], row["income"])

    async def move(self, session: Session, lines: tuple[Line, ...]) -> dict[str, Purse]:
        """Change balances, each on condition that it does not fall below zero.

        Answers the purses of everybody named; InsufficientGold or NoSuchUser otherwise.
        """
        moves: defaultdict[str, dict[str, int]] = defaultdict(lambda: {"gold": 0, "income": 0})
        for line in lines:
            if line.account.startswith(account("")):
                moves[line.account.removeprefix(account(""))][line.unit] += line.amount
            elif line.account.startswith(debt("")):
                await self._owe(session, line.account.removeprefix(debt("")), -line.amount)
        return {who: await self._shift(session, who, what) for who, what in sorted(moves.items())}

    async def write(self, session: Session, entry: Entry, heard: Heard | None) -> None:
        """Put the entry into the book; AlreadyWritten when its key is taken."""
        try:
            await self._ledger.insert_one(row_of(entry, heard, datetime.now(UTC)), session=session)
        except DuplicateKeyError:
            raise AlreadyWritten(entry.key) from None

    async def unrank(self, session: Session, key: str) -> None:
        """What this gift added goes out of the rankings; nothing for an entry of another kind."""
        row = await self._ledger.find_one({"_id": key}, session=session)
        assert row is not None
        await self._ranks.add(map(Mark.negated, marks_in(row)), session)

    async def _owe(self, session: Session, user_id: str, gold: int) -> None:
        """NotOwed when it is to become less than nothing."""
        enough = {"owed": {"$gte": -gold}} if gold < 0 else {}
        done = await self._users.update_one(
            {"_id": user_id, **enough}, {"$inc": {"owed": gold}}, session=session
        )
        if not done.matched_count:
            raise NotOwed

    async def _shift(self, session: Session, user_id: str, by: Mapping[str, int]) -> Purse:
        enough = {unit: {"$gte": -amount} for unit, amount in by.items() if amount < 0}
        row = await self._users.find_one_and_update(
            {"_id": user_id, **enough},
            {"$inc": dict(by)},
            projection={"gold": 1, "income": 1},
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        if row is None:
            raise InsufficientGold if enough else NoSuchUser
        return Purse(row["gold"], row["income"])


def row_of(entry: Entry, heard: Heard | None, at: datetime) -> Document:
    row: Document = {
        "_id": entry.key,
        "kind": entry.kind,
        "at": at,
        "by": entry.by,
        "lines": [line._asdict() for line in entry.lines],
        "content": dict(entry.content),
        "answer": dict(entry.answer),
        "note": entry.note,
    }
    if heard:
        row |= {"live_id": heard.live_id, "epoch": heard.epoch, "seq": heard.seq}
    return row


def marks_in(row: Document) -> Iterator[Mark]:
    """What this entry adds to the rankings."""
    heard = Heard(row["live_id"], row["epoch"], row["seq"]) if "seq" in row else None
    return marks_of(_entry_from(row), row["at"], heard)


def _entry_from(row: Document) -> Entry:
    return Entry(
        row["_id"],
        row["kind"],
        row["by"],
        tuple(Line(**line) for line in row["lines"]),
        row["content"],
        row["answer"],
        row["note"],
    )
