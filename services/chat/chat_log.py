"""Keeps what users wrote in rooms, as evidence of reports; written after IM has its answer."""

from collections import defaultdict, deque
from itertools import islice

from storage.chat.lines import ChatLine, ChatLineStore

MAX_WAITING = 10_000
"""Lines that are not stored yet, some 2 MB; further ones are lost while MongoDB is down."""
FLUSH_SIZE = 1_000
MAX_TEXT = 1_000  # characters


class ChatLog:
    """Lines in memory until `flush`, which runs periodically, has stored them."""

    def __init__(self, lines: ChatLineStore) -> None:
        self._lines = lines
        self._waiting: deque[tuple[int, ChatLine]] = deque()

    def add(self, live_id: int, line: ChatLine) -> None:
        """Never waits; a line without text is not kept."""
        if line.text and len(self._waiting) < MAX_WAITING:
            self._waiting.append((live_id, line._replace(text=line.text[:MAX_TEXT])))

    async def flush(self) -> None:
        """Store the lines that wait; all stay if MongoDB fails."""
        while batch := [*islice(self._waiting, FLUSH_SIZE)]:
            rooms: dict[int, list[ChatLine]] = defaultdict(list)
            for live_id, line in batch:
                rooms[live_id].append(line)
            await self._lines.add(rooms)
            for _ in batch:
                self._waiting.popleft()
