"""People who keep on, whatever is killed or restarted under them."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import websockets

from tests.phones import Phone, Reply, Street
from tests.realtime.folding import Frame, Screen

AWAY = (aiohttp.ClientError, OSError, TimeoutError)


async def until_answered(ask: Callable[[], Awaitable[Reply]]) -> Reply:
    """What a patient phone does: ask again until a server answers."""
    while True:
        with suppress(*AWAY):
            reply = await asyncio.wait_for(ask(), 10)
            if reply.status < 500:
                return reply
        await asyncio.sleep(0.02)


class Listener:
    """A client that comes back with `since`, and takes no gap and no second snapshot."""

    def __init__(self, phone: Phone, *byes: int) -> None:
        """`byes` are the codes with which it may be told goodbye."""
        self.phone = phone
        self.byes = byes
        self.heard: list[str] = []
        self.first: Frame = {}
        self.screen: Screen
        self.resumed = 0

    async def listen(self) -> None:
        while True:
            with suppress(websockets.WebSocketException, *AWAY):
                where = {"epoch": self.screen.epoch, "since": self.screen.seq} if self.first else {}
                connection = (await self.phone.connect(**where)).connection
                async for text in connection:
                    self._hear(str(text))
            await asyncio.sleep(0.02)

    def _hear(self, text: str) -> None:
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
                assert frame["code"] in self.byes, frame
            case _:
                self.screen.hear(frame)
                self.heard.append(text)


class Giver:
    """Gives one gift after the other, each until it is acknowledged."""

    def __init__(self, phone: Phone, to: Phone, gift_id: int) -> None:
        self.phone, self.to, self.gift_id = phone, to, gift_id
        self.going = True
        self.given: list[tuple[str, int]] = []
        """(request_id, the gold that was left) of all acknowledged."""

    async def give(self) -> None:
        while self.going:
            request_id = f"{self.phone.name}{len(self.given)}"
            gift: Any = {"gift_id": self.gift_id, "request_id": request_id}
            reply = await until_answered(
                lambda: self.phone.get("qlive_gift/push_gift/", user_id=self.to.id, **gift)  # noqa: B023
            )
            assert reply.ok()["status"] == "success"
            self.given.append((request_id, reply.json["gold"]))


class Restless:
    """Applies, sits and leaves again; what was answered must be so, whatever is killed."""

    def __init__(self, phone: Phone) -> None:
        self.phone = phone
        self.going = True
        self.turns = 0
        self.seats: list[str] = []
        """The play URLs, without signatures, of all acknowledged seats."""

    async def wander(self) -> None:
        while self.going:
            for call in ("apply_micro", "accept_micro"):
                reply = await until_answered(
                    lambda: self.phone.post(f"qlive_room/{call}/", live_id=self.phone.live_id)  # noqa: B023
                )
                assert reply.status == 200 or reply.refusal == (409, "on_mic"), reply.text
            self.seats.append(reply.json["play_url"].partition("?")[0])
            await until_answered(
                lambda: self.phone.get("qlive_room/leave_micro/", live_id=self.phone.live_id)
            )
            self.turns += 1


@asynccontextmanager
async def at_once(*works: Awaitable[None]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """All of them beside the block, until it ends; whichever fails, fails the test."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer


async def the_last(street: Street, live_id: int) -> Frame:
    """The room as the database has it."""
    row: Frame = (await street.ops("GET", f"rooms/{live_id}")).ok()
    return row
