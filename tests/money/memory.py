"""What money/ asks of storage, in memory: the book, the orders, trays looked up and written."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from money.book import HOUSE, Answer, Entry, Heard, Line, Purse
from money.gift import Present
from money.rank import Mark, marks_of
from money.recharge import Order, Payment, Refund
from money.refusals import InsufficientGold, NotOwed
from money.teller import AlreadyWritten
from money.tray import Stored, Tray


class MemoryBook:
    """A transaction that breaks leaves everything in `kept` as it was."""

    def __init__(self, **purses: tuple[int, int]) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)
        self.purses = {who: Purse(*purse) for who, purse in purses.items()}
        self.owed: dict[str, int] = {}
        self.entries: dict[str, Entry] = {}
        self.heard: dict[str, tuple[datetime, Heard | None]] = {}
        """When an entry was written, and the event by which it was heard of."""
        self.ranks: dict[tuple[str, str], tuple[int, int]] = {}
        """(gold, income) by scope and user; nobody who has neither."""
        self.kept: list[dict[Any, Any]] = [
            *(self.purses, self.owed, self.entries, self.heard, self.ranks)
        ]

    # ---- as grants, reversals and payments know it

    async def alone(self, work: Callable[[Any], Awaitable[Answer]]) -> Answer:
        before = [dict(part) for part in self.kept]
        try:
            return await work("tx")
        except BaseException:
            for part, was in zip(self.kept, before, strict=True):
                part.clear()
                part.update(was)
            raise

    async def find(self, key: str, tx: Any = None) -> tuple[Answer, Answer] | None:
        assert tx in (None, "tx")
        entry = self.entries.get(key)
        return Stored(copied(entry.content), copied(entry.answer)) if entry else None

    async def settled(self, key: str) -> tuple[Answer, Answer]:
        found = await self.find(key)
        assert found
        return found

    async def entry(self, key: str) -> Entry | None:
        return self.entries.get(key)

    async def purse(self, tx: Any, user_id: str) -> Purse:
        assert tx == "tx"
        return self.purses[user_id]

    async def move(self, tx: Any, lines: tuple[Line, ...]) -> dict[str, Purse]:
        assert tx == "tx"
        moved: dict[str, Purse] = {}
        for line in lines:
            kind, _, who = line.account.partition(":")
            if kind == "owed":
                self.owed[who] = self.owed.get(who, 0) - line.amount
                if self.owed[who] < 0:
                    raise NotOwed
            elif line.account != HOUSE:
                purse = self.purses[who]
                moved[who] = purse._replace(**{line.unit: getattr(purse, line.unit) + line.amount})
                self.purses[who] = moved[who]
        if any(min(purse) < 0 for purse in moved.values()):
            raise InsufficientGold
        return moved

    async def write(self, tx: Any, entry: Entry, heard: Heard | None) -> None:
        assert tx == "tx"
        if entry.key in self.entries:
            raise AlreadyWritten(entry.key)
        self.entries[entry.key] = entry
        self.heard[entry.key] = self.now, heard

    async def unrank(self, tx: Any, key: str) -> None:
        assert tx == "tx"
        self._rank(mark.negated() for mark in marks_of(self.entries[key], *self.heard[key]))

    # ---- as gifts know it

    def look(self, presents: Sequence[Present]) -> Tray:
        """What there is to know of these."""
        people = {who for present in presents for who in (present.sender, present.receiver)}
        keys = {p.key for p in presents if p.request_id} & self.entries.keys()
        written = {key: Stored(self.entries[key].content, self.entries[key].answer) for key in keys}
        same = {
            present.likeness: entry.answer
            for present in presents
            if present.may_be_a_retry
            for entry in self.entries.values()
            if (entry.kind, entry.by, entry.content) == ("gift", present.sender, present.content)
            if self.now - self.heard[entry.key][0] <= timedelta(milliseconds=present.repeat_ms)
        }
        return Tray(self.now, {who: self.purses[who] for who in people}, written, same)

    def put(self, tray: Tray) -> None:
        """Every purse is what it was, and every key is free."""
        for entry, heard in tray.entries:
            assert entry.key not in self.entries
            self.entries[entry.key] = entry
            self.heard[entry.key] = tray.at, heard
        for move in tray.moves:
            assert self.purses[move.user_id] == move.was
            self.purses[move.user_id] = move.becomes
        self._rank(tray.marks)

    def _rank(self, marks: Iterable[Mark]) -> None:
        for scope, user_id, gold, income in marks:
            gave, took = self.ranks.pop((scope, user_id), (0, 0))
            if (now := (gave + gold, took + income)) != (0, 0):
                self.ranks[scope, user_id] = now


class MemoryTill:
    """Keeps orders, in the transactions of its book."""

    def __init__(self, book: MemoryBook, *orders: Order) -> None:
        self.orders = {order.number: order for order in orders}
        self.given_back = dict.fromkeys(self.orders, 0)
        self.breaks = False
        book.kept += [self.orders, self.given_back]

    async def find(self, number: str, tx: Any = None) -> Order | None:
        assert tx is None
        return self.orders.get(number)

    async def pay(self, tx: Any, number: str, payment: Payment) -> None:
        assert (tx, payment.order) == ("tx", number)
        if self.breaks:
            raise ConnectionError
        self.orders[number] = replace(self.orders[number], state="paid")

    async def refund(self, tx: Any, number: str, refund: Refund) -> int:
        assert (tx, refund.order) == ("tx", number)
        before = self.given_back[number]
        self.given_back[number] += refund.fen
        return before


def copied(answer: Answer) -> Answer:
    kept: Answer = json.loads(json.dumps(dict(answer)))
    return kept


class Holds:
    """Remembers whose gold was held."""

    def __init__(self) -> None:
        self.names: list[tuple[str, ...]] = []

    @asynccontextmanager
    async def __call__(self, *names: str) -> AsyncIterator[None]:
        self.names.append(names)
        yield
