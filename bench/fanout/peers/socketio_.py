"""python-socketio: `emit` to the namespace, on aiohttp and uvloop."""

import asyncio
import json

import socketio
import uvloop
from aiohttp import web

from bench.fanout.control import EVENT, serve_control

EVENTS: asyncio.Queue[bytes] = asyncio.Queue()
DATA = json.loads(EVENT)


async def broadcast_events(server: socketio.AsyncServer) -> None:
    while True:
        await EVENTS.get()
        await server.emit("event", DATA)


async def main() -> None:
    server = socketio.AsyncServer(
        async_mode="aiohttp", transports=["websocket"], ping_interval=3600
    )
    app = web.Application()
    server.attach(app)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    sender = asyncio.create_task(broadcast_events(server))
    await serve_control(runner.addresses[0][1], EVENTS.put_nowait)
    sender.cancel()


if __name__ == "__main__":
    uvloop.run(main())
