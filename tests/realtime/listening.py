"""What tests of the socket have in common: frames as they came, and waiting for what must come."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import websockets

from tests.phones import WAIT, Phone, Socket

PASSING = ("audience", "heartbeat")


async def numbered(socket: Socket, count: int) -> list[str]:
    """The next frames as they came, but for those that only pass."""
    texts: list[str] = []
    while len(texts) < count:
        text = await asyncio.wait_for(socket.connection.recv(), WAIT)
        if json.loads(text)["type"] not in PASSING:
            texts.append(text)
    return texts


@asynccontextmanager
async def listen(socket: Socket) -> AsyncIterator[list[str]]:
    """Whatever is said meanwhile, as it comes, but for what only passes and goodbyes."""
    texts: list[str] = []

    async def hear() -> None:
        with suppress(websockets.ConnectionClosed):
            while text := str(await socket.connection.recv()):
                if json.loads(text)["type"] not in (*PASSING, "bye"):
                    texts.append(text)

    hearing = asyncio.ensure_future(hear())
    try:
        await until(lambda: texts)
        yield texts
    finally:
        hearing.cancel()
        await asyncio.wait([hearing])


async def until(done: Callable[[], Any], seconds: float = WAIT) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not come"
        await asyncio.sleep(0.01)


async def farewell(socket: Socket) -> tuple[dict[str, Any], int]:
    """The bye, which must be the last frame, and the code of the close that follows it."""
    while (frame := await socket.frame())["type"] != "bye":
        pass
    with_code = await socket.closed()
    return frame, with_code


async def parted(socket: Socket) -> int:
    """The code of a goodbye; the bye and the close say the same."""
    bye, code = await farewell(socket)
    assert bye["code"] == code
    assert bye["reconnect"] == (code < 4500)
    return code


async def speak(host: Phone, guest: Phone, times: int) -> None:
    """Events, as many as wanted: the host invites again and again."""
    for _ in range(times):
        (await host.post("qlive_room/invite_micro/", live_id=host.live_id, user_id=guest.id)).ok()
