"""Callbacks of WeChat, each received many times and in any order, as the handlers do."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from storage.database import Database
from storage.jobs.inbox import CallbackOutcome, InboxMessage, InboxStore
from tests.support.hypothesis_profiles import LONG_PROFILE

REPETITIONS = 100 if LONG_PROFILE else 4
AT_ONCE = 8


@dataclass(frozen=True)
class ReceivedCallback:
    """Parsed once: that is the slow part, and the same for each repetition."""

    message: InboxMessage
    refused: str
    """Why it is not genuine, else ""."""
    handle: Callable[[], Awaitable[CallbackOutcome]]


class CallbackStorm:
    """`outcomes` counts the reasons of refusals; "" is a callback that was accepted."""

    def __init__(self, database: Database) -> None:
        self.inbox = InboxStore(database)
        self.outcomes = Counter[str]()

    async def receive_all(self, callbacks: Iterable[ReceivedCallback]) -> None:
        """Receive each REPETITIONS times, shuffled."""
        repeated = [*callbacks] * REPETITIONS
        random.Random(7).shuffle(repeated)
        for start in range(0, len(repeated), AT_ONCE):
            await asyncio.gather(*map(self.receive, repeated[start : start + AT_ONCE]))

    async def receive(self, callback: ReceivedCallback) -> None:
        outcome = await self.inbox.process(callback.message, callback.refused, callback.handle)
        self.outcomes[outcome.reason if outcome else ""] += 1
