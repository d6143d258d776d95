"""One room on its evening: who is in it, what they did, and when they must stand still."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator

from chaos.acts import Act
from chaos.client import Client
from chaos.phones import Answer, Phone
from chaos.story import Faults


class Stage:
    """The host, her people with their ears, and the acts that were acknowledged."""

    def __init__(
        self, host: Phone, people: list[Phone], faults: Faults, chance: random.Random
    ) -> None:
        self.host, self.people = host, people
        self.clients: list[Client] = []
        self.acts: list[Act] = []
        self.unanswered = 0
        self.going = True
        self.faults = faults
        self.chance = chance
        self._turns = 0
        self._open = asyncio.Event()
        self._open.set()

    @property
    def live_id(self) -> int:
        return self.host.live_id

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """What may not be interrupted by the end of the live."""
        await self._open.wait()
        self._turns += 1
        try:
            yield
        finally:
            self._turns -= 1

    @contextlib.asynccontextmanager
    async def interval(self) -> AsyncIterator[None]:
        """Nobody acts within."""
        self._open.clear()
        while self._turns:
            await asyncio.sleep(0.05)
        try:
            yield
        finally:
            self._open.set()

    def done(self, answer: Answer, key: str, began: float) -> bool:
        """Write down how an act went that is heard as `key`; whether it was acknowledged."""
        if answer.ok:
            self.acts.append(Act(self.live_id, key, began, time.time()))
        elif answer.status in (0, 503):
            self.unanswered += 1
        else:
            self.faults.add("contradicted", f"{key}: {answer}")
        return answer.ok

    async def rest(self, pause: float) -> None:
        if self.going:
            await asyncio.sleep(self.chance.uniform(0.2, 1.8) * pause)
