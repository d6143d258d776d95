"""The load on a room: users whose acknowledged operations must each produce their event."""

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import AsyncIterator, Awaitable, Coroutine
from dataclasses import dataclass
from typing import Any

from chaos.api import FleetUser
from chaos.report import Violations
from chaos.timeline import Operation
from chaos.websocket_client import RoomClient
from tests.support.client import Reply

GIFT_ID = 1
GIVERS = 2
MIC_CANDIDATES = 8
"""Users of each gender who take turns on mic."""
INVITED, REFUSES, TAKEN_OFF = 0.4, 0.25, 0.4
"""Shares of the turns: the host invites, the user refuses, the host takes the user off the mic."""


class RoomLoad:
    """One room with its host, guests, WebSocket clients and acknowledged operations."""

    def __init__(
        self, host: FleetUser, guests: list[FleetUser], violations: Violations, rng: random.Random
    ) -> None:
        self.host, self.guests = host, guests
        self.clients: list[RoomClient] = []
        self.operations: list[Operation] = []
        self.unanswered = 0
        self.running = True
        self.violations, self.rng = violations, rng
        self._turns = 0
        self._allowed = asyncio.Event()
        self._allowed.set()

    @property
    def live_id(self) -> int:
        return self.host.live_id

    @property
    def givers(self) -> list[FleetUser]:
        """Guests who give gifts; the others take the seats."""
        return self.guests[-GIVERS:]

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

    async def perform(self, key: str, request: Awaitable[Reply]) -> Reply:
        """Send a request and record its outcome as that of an operation."""
        started_at, response = time.time(), await request
        self.record(response, key, started_at)
        return response

    def record(self, response: Reply, key: str, started_at: float) -> None:
        """Record the outcome of an operation."""
        if response.succeeded:
            self.operations.append(Operation(self.live_id, key, started_at, time.time()))
        elif response.status in (0, 503):
            self.unanswered += 1
        else:
            self.violations.add("unexpected_response", f"{key}: {response}")

    async def pause(self, mean_seconds: float) -> None:
        if self.running:
            await asyncio.sleep(self.rng.uniform(0.2, 1.8) * mean_seconds)


def gift_actors(room: RoomLoad, pause: float) -> list[Coroutine[Any, Any, None]]:
    """Users who give the host gifts."""
    return [GiftActor(room, giver, pause).run() for giver in room.givers]


def mic_actors(room: RoomLoad, pause: float) -> list[Coroutine[Any, Any, None]]:
    """One actor for the male seat and one for the female seat."""
    others = room.guests[:-GIVERS]
    candidates = [
        [user for user in others if user.gender == gender][:MIC_CANDIDATES] for gender in (1, 2)
    ]
    return [MicActor(room, users, pause).run() for users in candidates]


@dataclass
class MicActor:
    """Lets the candidates of one seat take and leave it, in one of several ways."""

    room: RoomLoad
    candidates: list[FleetUser]
    pause: float

    async def run(self) -> None:
        while self.room.running:
            async with self.room.turn():
                user = self.room.rng.choice(self.candidates)
                if not await self._take_turn(user):
                    await self._reset(user)
            await self.room.pause(self.pause)

    async def _take_turn(self, user: FleetUser) -> bool:
        """Apply for the seat, take and leave it; False if an outcome is unknown."""
        room, live_id = self.room, self._live_id
        if room.rng.random() < INVITED:
            asking = room.host.post("qlive_room/invite_micro/", user_id=user.id, **live_id)
            asked = await room.perform(f"micro_invite {user.id}", asking)
        else:
            asking = user.post("qlive_room/apply_micro/", **live_id)
            asked = await room.perform(f"micro_apply {user.id}", asking)
        if not asked.succeeded:
            return False
        await room.pause(self.pause)
        if room.rng.random() < REFUSES:
            refusing = user.post("qlive_room/refuse_micro/", **live_id)
            return (await room.perform(f"micro_refuse {user.id}", refusing)).succeeded
        started_at = time.time()
        seated = await user.post("qlive_room/accept_micro/", **live_id)
        stream = seated.json["play_url"].partition("?")[0] if seated.succeeded else ""
        room.record(seated, f"micro_accept {stream}", started_at)
        if not seated.succeeded:
            return False
        await room.pause(self.pause)
        caller = room.host if room.rng.random() < TAKEN_OFF else user
        leaving = caller.get("qlive_room/leave_micro/", user_id=user.id, **live_id)
        return (await room.perform(f"micro_leave {user.id}", leaving)).succeeded

    async def _reset(self, user: FleetUser) -> None:
        """Make the user a viewer again, wherever the turn failed; retries until acknowledged."""
        for request, path in ((user.post, "refuse_micro"), (user.get, "leave_micro")):
            while self.room.running:
                if (await request(f"qlive_room/{path}/", **self._live_id)).succeeded:
                    break
                await self.room.pause(self.pause)

    @property
    def _live_id(self) -> dict[str, Any]:
        return {"live_id": self.room.live_id}


@dataclass
class GiftActor:
    """Gives the host gifts, each with one request_id until it is acknowledged."""

    room: RoomLoad
    user: FleetUser
    pause: float

    async def run(self) -> None:
        room = self.room
        for number in itertools.count(1):
            if not room.running:
                return
            async with room.turn():
                request_id, response = f"{self.user.name}-{number}", Reply(0)
                gift: Any = {"user_id": room.host.id, "gift_id": GIFT_ID, "request_id": request_id}
                started_at = time.time()
                while response.status in (0, 503) and room.running:
                    response = await self.user.get("qlive_gift/push_gift/", **gift)
                if response.succeeded and response.json["status"] != "success":
                    room.violations.add("gift_rejected", f"{request_id}: {response.json}")
                room.record(response, f"gift {request_id}", started_at)
            await room.pause(self.pause)
