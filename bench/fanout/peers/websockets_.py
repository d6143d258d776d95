"""`websockets` with its `broadcast`, which encodes once and never waits; on uvloop."""

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

from bench.fanout.control import EVENT, serve_control

CONNECTIONS: set[ServerConnection] = set()


async def listen(connection: ServerConnection) -> None:
    CONNECTIONS.add(connection)
    try:
        await connection.wait_closed()
    finally:
        CONNECTIONS.discard(connection)


async def main() -> None:
    server = await serve(listen, "127.0.0.1", 0, compression=None, ping_interval=None, backlog=4096)
    port = next(iter(server.sockets)).getsockname()[1]
    await serve_control(port, lambda _mode: broadcast(CONNECTIONS, EVENT))


if __name__ == "__main__":
    uvloop.run(main())
