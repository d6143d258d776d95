"""Keeps what users wrote in rooms, as evidence of reports; written after IM has its answer."""

from collections import deque

import structlog

from storage.chat.lines import ChatLine, ChatLineStore

log = structlog.get_logger("qlive.chat")

MAX_WAITING = 10_000
"""Lines that are not stored yet, some 2 MB; more are dropped while MongoDB does not answer."""
FLUSH_SIZE = 1_000
MAX_TEXT = 1_000  # characters


class ChatLog:
    """Lines in memory until `flush`, which runs periodically, has stored them."""

    def __init__(self, lines: ChatLineStore) -> None:
        self._lines = lines
        self._waiting: deque[tuple[int, ChatLine]] = deque()
        self._dropped = 0

    def add(self, live_id: int, line: ChatLine) -> None:
        """Never waits."""
        if len(self._waiting) >= MAX_WAITING:
            self._dropped += 1
            return
        self._waiting.append((live_id, line._replace(text=line.text[:MAX_TEXT])))

    async def flush(self) -> None:
        """Store the lines that wait; all stay if MongoDB fails."""
        while self._waiting:
            batch = [self._waiting[n] for n in range(min(FLUSH_SIZE, len(self._waiting)))]
            rooms: dict[int, list[ChatLine]] = {}
            for live_id, line in batch:
                rooms.setdefault(live_id, []).append(line)
            await self._lines.add(rooms)
            for _ in batch:
                self._waiting.popleft()
        if self._dropped:
            log.warning("chat_lines_dropped", lines=self._dropped)
            self._dropped = 0
