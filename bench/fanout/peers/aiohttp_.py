"""aiohttp: `send_str` to each, one event after the other; on uvloop."""

import asyncio

import uvloop
from aiohttp import web

from bench.fanout.control import EVENT, run

LISTENERS: set[web.WebSocketResponse] = set()
EVENTS: asyncio.Queue[bytes] = asyncio.Queue()


async def listen(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(compress=False)
    await socket.prepare(request)
    LISTENERS.add(socket)
    try:
        async for _ in socket:
            pass
    finally:
        LISTENERS.discard(socket)
    return socket


async def tell_all() -> None:
    while True:
        await EVENTS.get()
        for socket in list(LISTENERS):
            await socket.send_str(EVENT)


async def main() -> None:
    app = web.Application()
    app.router.add_get("/", listen)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096)
    await site.start()
    telling = asyncio.create_task(tell_all())
    await run(runner.addresses[0][1], EVENTS.put_nowait)
    telling.cancel()


if __name__ == "__main__":
    uvloop.run(main())
