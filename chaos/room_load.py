"""The load on one room: its users, their clients and acknowledged operations."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator

from chaos.api import FleetUser
from chaos.operations import Operation
from chaos.violations import Violations
from chaos.websocket_client import RoomClient
from tests.support.client import Reply


class RoomLoad:
    """One room with its host, guests and WebSocket clients."""

    def __init__(
        self, host: FleetUser, guests: list[FleetUser], violations: Violations, rng: random.Random
    ) -> None:
        self.host, self.guests = host, guests
        self.clients: list[RoomClient] = []
        self.operations: list[Operation] = []
        self.unanswered = 0
        self.running = True
        self.violations = violations
        self.rng = rng
        self._turns = 0
        self._allowed = asyncio.Event()
        self._allowed.set()

    @property
    def live_id(self) -> int:
        return self.host.live_id

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Operations that the end of the live session must not interrupt."""
        await self._allowed.wait()
        self._turns += 1
        try:
            yield
        finally:
            self._turns -= 1

    @contextlib.asynccontextmanager
    async def suspended(self) -> AsyncIterator[None]:
        """No turn runs within the block."""
        self._allowed.clear()
        while self._turns:
            await asyncio.sleep(0.05)
        try:
            yield
        finally:
            self._allowed.set()

    def record(self, response: Reply, key: str, started_at: float) -> bool:
        """Record the outcome of an operation; returns whether it was acknowledged."""
        if response.succeeded:
            self.operations.append(Operation(self.live_id, key, started_at, time.time()))
        elif response.status in (0, 503):
            self.unanswered += 1
        else:
            self.violations.add("unexpected_response", f"{key}: {response}")
        return response.succeeded

    async def pause(self, mean_seconds: float) -> None:
        if self.running:
            await asyncio.sleep(self.rng.uniform(0.2, 1.8) * mean_seconds)
