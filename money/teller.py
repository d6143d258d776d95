"""The one path by which gold moves: an entry in the book and the balances, in one transaction."""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Protocol

from money.book import Entry, Line, Purse, lines_of, negated, people_in
from money.gift import cost_of, earning, gift_lines, pay
from money.refusals import NoSuchEntry, NotReversible, RequestIdReused

REVERSIBLE = ("gift", "grant")
Answer = Mapping[str, Any]
Hold = Callable[..., AbstractAsyncContextManager[None]]
"""Lets nobody else in this process move the gold of the people named."""


class AlreadyWritten(Exception):
    """The book has an entry of this key: what was asked for has been done."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


@dataclass(frozen=True, slots=True)
class Heard:
    """The numbered room event by which an entry was heard of."""

    live_id: int
    epoch: str
    seq: int


@dataclass(frozen=True, slots=True)
class Present:
    """A gift as it is asked for; `gold` is the price of one, `rate` the receiver's share."""

    sender: str
    receiver: str
    gift_id: int
    gold: int
    num: int
    rate: Decimal
    request_id: str = ""
    repeat_ms: int = 0
    """Without a request_id: how long an identical gift counts as a retry, in ms; 0 never."""

    @property
    def cost(self) -> int:
        return cost_of(self.gold, self.num)

    @property
    def content(self) -> Answer:
        return gift_content(self.receiver, self.gift_id, self.num)


class Book(Protocol):
    """Where entries and balances are kept; `tx` is its transaction."""

    async def alone(self, work: Callable[[Any], Awaitable[Answer]]) -> Answer: ...
    async def find(self, key: str, tx: Any = None) -> tuple[Answer, Answer] | None: ...
    async def entry(self, key: str) -> Entry | None: ...
    async def same_since(self, tx: Any, by: str, content: Answer, ms: int) -> str | None: ...
    async def purse(self, tx: Any, user_id: str) -> Purse: ...
    async def move(self, tx: Any, lines: tuple[Line, ...]) -> dict[str, Purse]: ...
    async def write(self, tx: Any, entry: Entry, heard: Heard | None) -> None: ...


Write = Callable[[Any, Heard | None], Awaitable[Answer]]
Tell = Callable[[Write], Awaitable[Answer | None]]
"""Does the write together with the room's own and tells it; None when no room hears of it."""


class Teller:
    """Gives and grants; the same key is carried out once and answered the same for ever."""

    def __init__(self, book: Book, hold: Hold) -> None:
        self._book = book
        self._hold = hold

    async def given(self, sender: str, request_id: str, content: Answer) -> Answer | None:
        """The answer to a gift that was given before under this request_id; RequestIdReused."""
        return await self._stored(gift_key(sender, request_id), content) if request_id else None

    async def give(self, present: Present, tell: Tell) -> Answer:
        """{"status", "gold", "income"} of the sender; InsufficientGold, RequestIdReused."""
        key = gift_key(present.sender, present.request_id or f"~{secrets.token_hex(12)}")

        async def write(tx: Any, heard: Heard | None) -> Answer:
            return await self._write_gift(tx, key, present, heard)

        async def carry_out() -> Answer:
            answer = await tell(write)
            if answer is not None:
                return answer
            async with self._hold(present.sender, present.receiver):
                return await self._book.alone(lambda tx: write(tx, None))

        return await self._once(key, present.content, carry_out)

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
            await self._book.move(tx, back.lines)
            await self._book.write(tx, back, None)
            return content

        async def carry_out() -> Answer:
            async with self._hold(*people_in(entry.lines)):
                return await self._book.alone(write)

        return await self._once(back.key, content, carry_out)

    async def _write_gift(self, tx: Any, key: str, present: Present, heard: Heard | None) -> Answer:
        sender, receiver = present.sender, present.receiver
        if present.request_id and await self._book.find(key, tx):
            raise AlreadyWritten(key)  # before the purse, which it may have emptied
        if present.repeat_ms and not present.request_id:
            same = await self._book.same_since(tx, sender, present.content, present.repeat_ms)
            if same:
                raise AlreadyWritten(same)
        paid = pay(present.cost, await self._book.purse(tx, sender))
        lines = gift_lines(sender, receiver, paid, earning(present.cost, present.rate))
        purses = await self._book.move(tx, lines)
        left = purses.get(sender) or await self._book.purse(tx, sender)
        answer = {"status": "success", **left._asdict()}
        entry = Entry(key, "gift", sender, lines, present.content, answer)
        await self._book.write(tx, entry, heard)
        return answer

    async def _once(
        self, key: str, content: Answer, carry_out: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        if stored := await self._stored(key, content):
            return stored
        try:
            return await carry_out()
        except AlreadyWritten as written:
            stored = await self._stored(written.key, content)
            assert stored is not None
            return stored

    async def _stored(self, key: str, content: Answer) -> Answer | None:
        found = await self._book.find(key)
        if found and dict(found[0]) != dict(content):
            raise RequestIdReused
        return found[1] if found else None


def gift_key(sender: str, request_id: str) -> str:
    return f"gift:{sender}:{request_id}"


def gift_content(receiver: str, gift_id: int, num: int) -> Answer:
    """What was asked for, as the book keeps it."""
    return {"to": receiver, "gift_id": gift_id, "num": num}
