"""So many at once and no more: the others wait their turn, but not for ever."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rooms.refusals import TryAgain

AT_ONCE = 64
"""Sockets that join side by side. A thousand phones that come back at once would otherwise take
every connection to MongoDB, and calls would time out behind them."""
PATIENCE_SECONDS = 10.0


class Gate:
    def __init__(self, at_once: int = AT_ONCE, patience: float = PATIENCE_SECONDS) -> None:
        """`patience` in seconds."""
        self._turns = asyncio.Semaphore(at_once)
        self._patience = patience

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """TryAgain after too long a wait."""
        try:
            async with asyncio.timeout(self._patience):
                await self._turns.acquire()
        except TimeoutError:
            raise TryAgain from None
        try:
            yield
        finally:
            self._turns.release()
