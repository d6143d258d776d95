"""Reads and collects frames of room sockets."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import websockets

from tests.support.api import WAIT, ApiClient, Socket
from tests.support.waiting import until

UNNUMBERED = ("audience", "heartbeat")


async def next_events(socket: Socket, count: int) -> list[str]:
    """The next `count` frames as text, without audience and heartbeat."""
    texts: list[str] = []
    while len(texts) < count:
        text = await asyncio.wait_for(socket.connection.recv(), WAIT)
        if json.loads(text)["type"] not in UNNUMBERED:
            texts.append(text)
    return texts


@asynccontextmanager
async def collect_events(socket: Socket) -> AsyncIterator[list[str]]:
    """Collects frames as text while the block runs, without audience, heartbeat and bye.

    The block begins when the first has arrived.
    """
    texts: list[str] = []

    async def collect() -> None:
        with suppress(websockets.ConnectionClosed):
            while text := str(await socket.connection.recv()):
                if json.loads(text)["type"] not in (*UNNUMBERED, "bye"):
                    texts.append(text)

    task = asyncio.ensure_future(collect())
    try:
        await until(lambda: texts)
        yield texts
    finally:
        task.cancel()
        await asyncio.wait([task])


async def read_close(socket: Socket) -> tuple[dict[str, Any], int]:
    """(bye frame, close code); reads everything before them."""
    while (frame := await socket.frame())["type"] != "bye":
        pass
    return frame, await socket.close_code()


async def close_code_of(socket: Socket) -> int:
    """The close code, which must agree with the bye frame before it."""
    bye, code = await read_close(socket)
    assert bye["code"] == code
    assert bye["reconnect"] == (code < 4500)
    return code


async def invite_repeatedly(host: ApiClient, guest: ApiClient, times: int) -> None:
    """Publishes `times` events: the host repeats an invitation."""
    for _ in range(times):
        (await host.post("qlive_room/invite_micro/", live_id=host.live_id, user_id=guest.id)).ok()
