"""Reads by `_id` that are asked for within one turn of the event loop leave as one query."""

import asyncio
from collections.abc import Hashable
from typing import Any

from rooms.refusals import StorageAway
from storage.database import Collection, Document


class Loader:
    """Not a cache: what is answered was read after it was asked for."""

    def __init__(self, rows: Collection) -> None:
        self._rows = rows
        self._asked: dict[Any, list[asyncio.Future[Document | None]]] = {}
        self._reading: set[asyncio.Task[None]] = set()

    async def get(self, key: Hashable) -> Document | None:
        """The document of this `_id`; others may have been given the same: it is to be read."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Document | None] = loop.create_future()
        if not self._asked:
            loop.call_soon(self._leave)
        self._asked.setdefault(key, []).append(answer)
        return await answer

    def _leave(self) -> None:
        asked, self._asked = self._asked, {}
        task = asyncio.get_running_loop().create_task(self._read(asked))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def _read(self, asked: dict[Any, list[asyncio.Future[Document | None]]]) -> None:
        waiting = [(key, answer) for key, answers in asked.items() for answer in answers]
        error: Exception = StorageAway()
        try:
            rows = await self._rows.find({"_id": {"$in": [*asked]}}).to_list()
            found = {row["_id"]: row for row in rows}
            for key, answer in waiting:
                if not answer.done():  # whoever asked may have gone away
                    answer.set_result(found.get(key))
        except Exception as raised:  # noqa: BLE001 - raised to whoever asked
            error = raised
        finally:
            for _, answer in waiting:
                if not answer.done():
                    answer.set_exception(error)
