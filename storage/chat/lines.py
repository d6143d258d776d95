"""chat_lines: the last lines that users wrote in each room, as evidence of reports."""

from collections import Counter, deque
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import NamedTuple

from pymongo import ReplaceOne

from storage.database import Collection, Database, Document

LINES_KEPT = 200
"""Lines of a room, in a ring with one document per slot: a new line replaces the oldest."""
MAX_WAITING = 10_000
"""Lines that are not stored yet, some 2 MB; further ones are lost while MongoDB is down."""
BATCH_LINES = 100
"""Lines of one command; more would hold up the event loop, which answers IM."""
MAX_TEXT = 1_000  # characters


class ChatLine(NamedTuple):
    """One message of a user; `at` in ms."""

    user_id: str
    text: str
    at: int


class ChatLineStore:
    """A ring of lines for each room; a line is deleted after some days in any case.

    IM has its answer before a line is stored: lines wait in memory for `flush`.
    """

    def __init__(self, database: Database, days: int) -> None:
        """Create the store; a line is kept for `days` or, with 0, until newer ones replace it."""
        self._database = database
        self._lines: Collection = database.collection("chat_lines")
        self._days = days
        self._waiting: deque[tuple[int, ChatLine]] = deque()

    async def make_indexes(self) -> None:
        await self._lines.create_index("expires_at", expireAfterSeconds=0)
        await self._lines.create_index([("room", 1), ("n", 1)])

    def add(self, live_id: int, line: ChatLine) -> None:
        """Queue a line, without ever waiting; a line without text is not kept."""
        if line.text and len(self._waiting) < MAX_WAITING:
            self._waiting.append((live_id, line._replace(text=line.text[:MAX_TEXT])))

    async def flush(self) -> None:
        """Store the lines that wait; all stay if MongoDB fails."""
        while batch := [*islice(self._waiting, BATCH_LINES)]:
            await self._store(batch)
            for _ in batch:
                self._waiting.popleft()

    async def _store(self, batch: list[tuple[int, ChatLine]]) -> None:
        """Store the lines under numbers that the processes share for each room."""
        expiry: Document = {}
        if self._days:
            expiry["expires_at"] = datetime.now(UTC) + timedelta(days=self._days)
        numbers = {
            live_id: await self._database.next_number(f"chat_lines:{live_id}", count) - count
            for live_id, count in Counter(live_id for live_id, _ in batch).items()
        }
        writes = []
        for live_id, line in batch:
            numbers[live_id] += 1
            row = {"room": live_id, "n": numbers[live_id], **line._asdict(), **expiry}
            slot = f"{live_id}:{numbers[live_id] % LINES_KEPT}"
            writes.append(ReplaceOne({"_id": slot}, row, upsert=True))
        await self._lines.bulk_write(writes, ordered=False)

    async def last_lines(self, live_id: int, user_ids: Iterable[str] = ()) -> list[ChatLine]:
        """Return the last lines of a room, oldest first, of these users or (empty) of all.

        They are users' private words: a caller that shows them is audited.
        """
        where: Document = {"room": live_id}
        if users := [*user_ids]:
            where["user_id"] = {"$in": users}
        rows = await self._lines.find(where).sort("n", 1).to_list()
        return [ChatLine(*(row[name] for name in ChatLine._fields)) for row in rows]
