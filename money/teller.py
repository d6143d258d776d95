"""Grants and reversals: an entry in the book and the balances, in one transaction, once."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, Protocol

from money.book import (
    HOUSE,
    Answer,
    Entry,
    Heard,
    Kind,
    Line,
    Purse,
    account,
    debt,
    lines_of,
    negated,
    people_in,
)
from money.refusals import NoSuchEntry, NotReversible, RequestIdReused

REVERSIBLE = ("gift", "grant")
Hold = Callable[..., AbstractAsyncContextManager[None]]
"""Lets nobody else in this process move the gold of the people named."""


class AlreadyWritten(Exception):
    """The book has an entry of this key: what was asked for has been done."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class Book(Protocol):
    """Where entries and balances are kept; `tx` is its transaction."""

    async def alone(self, work: Callable[[Any], Awaitable[Answer]]) -> Answer: ...
    async def find(self, key: str, tx: Any = None) -> tuple[Answer, Answer] | None: ...
    async def settled(self, key: str) -> tuple[Answer, Answer]:
        """As `find`, of an entry that was seen: waits until it is there to stay."""

    async def entry(self, key: str) -> Entry | None: ...
    async def purse(self, tx: Any, user_id: str) -> Purse: ...
    async def move(self, tx: Any, lines: tuple[Line, ...]) -> dict[str, Purse]: ...
    async def write(self, tx: Any, entry: Entry, heard: Heard | None) -> None: ...
    async def unrank(self, tx: Any, key: str) -> None:
        """Takes what this gift added out of the rankings; nothing for another kind."""


class Teller:
    """The same key is carried out once and answered the same for ever."""

    def __init__(self, book: Book, hold: Hold) -> None:
        self._book = book
        self._hold = hold

    async def grant(self, user_id: str, gold: int, reason: str, request_id: str, by: str) -> Answer:
        """Gold from the house: {"gold", "income"} of the user; RequestIdReused, no such user."""
        key = f"grant:{request_id}"
        content = {"to": user_id, "gold": gold}
        entry = Entry(key, "grant", by, lines_of(user_id, gold), content, note=reason)

        async def write(tx: Any) -> Answer:
            purse = (await self._book.move(tx, entry.lines))[user_id]
            answer = purse._asdict()
            await self._book.write(tx, replace(entry, answer=answer), None)
            return answer

        async def carry_out() -> Answer:
            async with self._hold(user_id):
                return await self._book.alone(write)

        return await self._once(key, content, carry_out)

    async def settle(
        self, user_id: str, gold: int, reason: str, request_id: str, by: str, *, by_house: bool
    ) -> Answer:
        """What somebody owes is paid, from their purse or by the house: {"gold", "income"}.

        NotOwed, InsufficientGold, RequestIdReused.
        """
        payer = HOUSE if by_house else account(user_id)
        lines = (Line(payer, "gold", -gold), Line(debt(user_id), "gold", gold))
        content = {"owed_by": user_id, "gold": gold, "by_house": by_house}
        kind: Kind = "grant" if by_house else "reversal"
        entry = Entry(f"settle:{request_id}", kind, by, lines, content, note=reason)

        async def write(tx: Any) -> Answer:
            await self._must_be_new(tx, entry.key)
            await self._book.move(tx, lines)
            answer = (await self._book.purse(tx, user_id))._asdict()
            await self._book.write(tx, replace(entry, answer=answer), None)
            return answer

        async def carry_out() -> Answer:
            async with self._hold(user_id):
                return await self._book.alone(write)

        return await self._once(entry.key, content, carry_out)

    async def reverse(self, key: str, reason: str, by: str) -> Answer:
        """What a gift or a grant has moved goes back, once: {"reverses"}.

        NoSuchEntry, NotReversible, InsufficientGold when somebody does not have it any more.
        """
        entry = await self._book.entry(key)
        if entry is None:
            raise NoSuchEntry
        if entry.kind not in REVERSIBLE:
            raise NotReversible
        content = {"reverses": key}
        back = Entry(
            f"reversal:{key}", "reversal", by, negated(entry.lines), content, content, reason
        )

        async def write(tx: Any) -> Answer:
            await self._must_be_new(tx, back.key)
            await self._book.move(tx, back.lines)
            await self._book.write(tx, back, None)
            await self._book.unrank(tx, key)
            return content

        async def carry_out() -> Answer:
            async with self._hold(*people_in(entry.lines)):
                return await self._book.alone(write)

        return await self._once(back.key, content, carry_out)

    async def _must_be_new(self, tx: Any, key: str) -> None:
        """Before anything is taken: what was taken already may not be there a second time."""
        if await self._book.find(key, tx):
            raise AlreadyWritten(key)

    async def _once(
        self, key: str, content: Answer, carry_out: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        if stored := await self._book.find(key):
            return _same(stored, content)
        try:
            return await carry_out()
        except AlreadyWritten as written:
            return _same(await self._book.settled(written.key), content)


def _same(stored: tuple[Answer, Answer], content: Answer) -> Answer:
    if dict(stored[0]) != dict(content):
        raise RequestIdReused
    return stored[1]
