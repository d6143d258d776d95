"""chat_lines: the last lines that users wrote in each room, as evidence of reports."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from pymongo import ReplaceOne

from storage.database import Collection, Database, Document

LINES_KEPT = 200
"""Lines of a room, in a ring with one document per slot: a new line replaces the oldest."""

WRITES = 100
"""Lines of one command; more would hold up the event loop, which answers IM."""


class ChatLine(NamedTuple):
    """What a user wrote; `at` in ms."""

    user_id: str
    text: str
    at: int


class ChatLineStore:
    """A ring of lines for each room; a line is deleted after some days in any case."""

    def __init__(self, database: Database, days: int) -> None:
        """`days`: how long a line is kept; 0: until newer ones replace it."""
        self._database = database
        self._lines: Collection = database.collection("chat_lines")
        self._days = days

    async def make_indexes(self) -> None:
        await self._lines.create_index("expires_at", expireAfterSeconds=0)
        await self._lines.create_index([("room", 1), ("n", 1)])

    async def add(self, rooms: Mapping[int, Sequence[ChatLine]]) -> None:
        """Add lines by live_id. Processes share the numbers of a room's lines."""
        expiry: Document = {}
        if self._days:
            expiry["expires_at"] = datetime.now(UTC) + timedelta(days=self._days)
        writes = []
        for live_id, lines in rooms.items():
            last = await self._database.next_number(f"chat_lines:{live_id}", len(lines))
            kept = lines[-LINES_KEPT:]
            for n, line in enumerate(kept, last - len(kept) + 1):
                slot = f"{live_id}:{n % LINES_KEPT}"
                row = {"room": live_id, "n": n, **line._asdict(), **expiry}
                writes.append(ReplaceOne({"_id": slot}, row, upsert=True))
        for start in range(0, len(writes), WRITES):
            await self._lines.bulk_write(writes[start : start + WRITES], ordered=False)

    async def last_lines(self, live_id: int, user_ids: Iterable[str] = ()) -> list[ChatLine]:
        """The last lines of a room, oldest first, of these users or (empty) of all.

        Users' private words: a caller that shows them is audited.
        """
        where: Document = {"room": live_id}
        if users := [*user_ids]:
            where["user_id"] = {"$in": users}
        rows = await self._lines.find(where).sort("n", 1).to_list()
        return [ChatLine(*(row[name] for name in ChatLine._fields)) for row in rows]
