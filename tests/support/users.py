"""Clients that retry and reconnect while servers are killed and restarted."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import websockets

from tests.support.api import ApiClient, ApiFixture, Reply
from tests.support.room_screen import Frame, Screen

UNREACHABLE = (aiohttp.ClientError, OSError, TimeoutError)


async def retry_until_answered(request: Callable[[], Awaitable[Reply]]) -> Reply:
    """Repeats the request until a server answers with a status below 500."""
    while True:
        with suppress(*UNREACHABLE):
            reply = await asyncio.wait_for(request(), 10)
            if reply.status < 500:
                return reply
        await asyncio.sleep(0.02)


class Listener:
    """A socket client that reconnects with `since`; fails on a gap and on a second snapshot."""

    def __init__(self, client: ApiClient, *bye_codes: int) -> None:
        """`bye_codes` are the codes that a `bye` frame may have."""
        self.client = client
        self.bye_codes = bye_codes
        self.received: list[str] = []
        """Numbered events, as text."""
        self.first: Frame = {}
        self.screen: Screen
        self.resumed = 0

    async def listen(self) -> None:
        while True:
            with suppress(websockets.WebSocketException, *UNREACHABLE):
                position = (
                    {"epoch": self.screen.epoch, "since": self.screen.seq} if self.first else {}
                )
                connection = (await self.client.connect(**position)).connection
                async for text in connection:
                    self._on_frame(str(text))
            await asyncio.sleep(0.02)

    def _on_frame(self, text: str) -> None:
        frame = json.loads(text)
        match frame["type"]:
            case "snapshot":
                assert not self.first, f"a second snapshot: {frame.get('reset')}"
                self.first, self.screen = frame, Screen(frame)
            case "resumed":
                assert frame["seq"] == self.screen.seq + frame["replayed"]
                self.resumed += 1
            case "audience" | "heartbeat":
                pass
            case "bye":
                assert frame["code"] in self.bye_codes, frame
            case _:
                self.screen.hear(frame)
                self.received.append(text)


class RepeatingGiver:
    """Gives one gift after another, and retries each until it is acknowledged."""

    def __init__(self, client: ApiClient, to: ApiClient, gift_id: int) -> None:
        self.client, self.to, self.gift_id = client, to, gift_id
        self.active = True
        self.given: list[tuple[str, int]] = []
        """(request_id, gold left) of every acknowledged gift."""

    async def give(self) -> None:
        while self.active:
            request_id = f"{self.client.name}{len(self.given)}"
            gift: Any = {"gift_id": self.gift_id, "request_id": request_id}
            reply = await retry_until_answered(
                lambda: self.client.get("qlive_gift/push_gift/", user_id=self.to.id, **gift)  # noqa: B023
            )
            assert reply.ok()["status"] == "success"
            self.given.append((request_id, reply.json["gold"]))


class SeatHopper:
    """Applies, takes a seat and leaves it, again and again."""

    def __init__(self, client: ApiClient) -> None:
        self.client = client
        self.active = True
        self.rounds = 0
        self.seats: list[str] = []
        """Play URLs, without signatures, of all acknowledged seats."""

    async def run(self) -> None:
        while self.active:
            for action in ("apply_micro", "accept_micro"):
                reply = await retry_until_answered(
                    lambda: self.client.post(f"qlive_room/{action}/", live_id=self.client.live_id)  # noqa: B023
                )
                assert reply.status == 200 or reply.refusal == (409, "on_mic"), reply.text
            self.seats.append(reply.json["play_url"].partition("?")[0])
            await retry_until_answered(
                lambda: self.client.get("qlive_room/leave_micro/", live_id=self.client.live_id)
            )
            self.rounds += 1


@asynccontextmanager
async def run_concurrently(*actions: Awaitable[None]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Runs all beside the block and cancels them at its end; raises what one of them raised."""
    tasks = [asyncio.ensure_future(action) for action in actions]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result


async def room_state(api: ApiFixture, live_id: int) -> Frame:
    """The stored room, as operators see it."""
    state: Frame = (await api.ops("GET", f"rooms/{live_id}")).ok()
    return state
