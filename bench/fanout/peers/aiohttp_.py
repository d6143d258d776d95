"""aiohttp: `send_str` to each socket, one event after another; on uvloop."""

import asyncio

import uvloop
from aiohttp import web

from bench.fanout.control import EVENT, serve_control

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


async def broadcast_events() -> None:
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
    sender = asyncio.create_task(broadcast_events())
    await serve_control(runner.addresses[0][1], EVENTS.put_nowait)
    sender.cancel()


if __name__ == "__main__":
    uvloop.run(main())
