"""Reads by `_id` that are asked for within one turn of the event loop, or while others are under
way, leave as one query: a command costs PyMongo 0.3 ms of the process whatever it asks for."""

import asyncio
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from rooms.refusals import StorageAway
from storage.database import Collection, Document

AT_ONCE = 2
"""Queries of one loader that are under way at most: while one is answered the other one works."""
T = TypeVar("T")
Waiting = list[asyncio.Future[T | None]]


class Loader(Generic[T]):
    """Not a cache: what is answered was read after it was asked for. Where queries hang until they
    time out, one may have to wait for somebody else's as well as for one's own."""

    def __init__(self, rows: Collection, make: Callable[[Document], T], but: str = "") -> None:
        """`make` turns a document into what is answered; `but` is a field that is left out."""
        self._rows = rows
        self._make = make
        self._fields = {but: 0} if but else None
        self._asked: dict[Any, Waiting[T]] = {}
        self._reading: set[asyncio.Task[None]] = set()

    async def get(self, key: Hashable) -> T | None:
        """What has this `_id`; others may have been given the same: it is to be read."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T | None] = loop.create_future()
        if not self._asked:
            loop.call_soon(self._leave)
        self._asked.setdefault(key, []).append(answer)
        return await answer

    def _leave(self) -> None:
        if not self._asked or len(self._reading) >= AT_ONCE:
            return
        asked, self._asked = self._asked, {}
        task = asyncio.get_running_loop().create_task(self._read(asked))
        self._reading.add(task)
        task.add_done_callback(self._come_back)

    def _come_back(self, task: asyncio.Task[None]) -> None:
        self._reading.discard(task)
        self._leave()

    async def _read(self, asked: dict[Any, Waiting[T]]) -> None:
        error: Exception = StorageAway()
        try:
            rows = await self._rows.find({"_id": {"$in": [*asked]}}, self._fields).to_list()
            found = {row["_id"]: row for row in rows}
            for key, answers in asked.items():
                self._answer(answers, found.get(key))
        except Exception as raised:  # noqa: BLE001 - raised to whoever asked
            error = raised
        finally:
            for answers in asked.values():
                _fail(answers, error)

    def _answer(self, answers: Waiting[T], row: Document | None) -> None:
        """A document that cannot be read is the trouble of those who asked for that one."""
        try:
            made = self._make(row) if row else None
        except Exception as raised:  # noqa: BLE001 - raised to whoever asked
            _fail(answers, raised)
            return
        for answer in answers:
            if not answer.done():  # whoever asked may have gone away
                answer.set_result(made)


def _fail(answers: "Waiting[T]", error: Exception) -> None:
    """Whoever has no answer is not left waiting for one."""
    for answer in answers:
        if not answer.done():
            answer.set_exception(error)
