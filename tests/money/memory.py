"""The teller's book in memory."""

import json
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from money.book import HOUSE, Entry, Purse
from money.refusals import InsufficientGold
from money.teller import AlreadyWritten, Answer, Heard


class MemoryBook:
    """A transaction is a copy of the purses and new entries, put in place when it is done."""

    def __init__(self, **purses: tuple[int, int]) -> None:
        self.purses = {who: Purse(*purse) for who, purse in purses.items()}
        self.entries: dict[str, Entry] = {}
        self.heard: dict[str, Heard | None] = {}
        self.asked_since: list[int] = []
        self.owed: dict[str, int] = {}

    async def alone(self, work: Callable[[Any], Awaitable[Answer]]) -> Answer:
        purses, entries = dict(self.purses), dict(self.entries)
        try:
            return await work("tx")
        except BaseException:
            self.purses, self.entries = purses, entries
            raise

    async def find(self, key: str, tx: Any = None) -> tuple[Answer, Answer] | None:
        assert tx in (None, "tx")
        entry = self.entries.get(key)
        return (copied(entry.content), copied(entry.answer)) if entry else None

    async def entry(self, key: str) -> Entry | None:
        return self.entries.get(key)

    async def same_since(self, tx: Any, by: str, content: Answer, ms: int) -> str | None:
        """Nothing here is ever too old."""
        assert tx == "tx"
        self.asked_since.append(ms)
        same = (e.key for e in self.entries.values() if (e.by, e.content) == (by, content))
        return next(same, None)

    async def purse(self, tx: Any, user_id: str) -> Purse:
        assert tx == "tx"
        return self.purses[user_id]

    async def move(self, tx: Any, lines: Any) -> dict[str, Purse]:
        assert tx == "tx"
        moved: dict[str, Purse] = {}
        for line in lines:
            if line.account.startswith("owed:"):
                who = line.account.removeprefix("owed:")
                self.owed[who] = self.owed.get(who, 0) - line.amount
            elif line.account != HOUSE:
                who = line.account.removeprefix("user:")
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
        self.heard[entry.key] = heard


def copied(answer: Answer) -> Answer:
    return json.loads(json.dumps(dict(answer)))


class Holds:
    """Remembers whose gold was held."""

    def __init__(self) -> None:
        self.names: list[tuple[str, ...]] = []

    @asynccontextmanager
    async def __call__(self, *names: str):
        self.names.append(names)
        yield
