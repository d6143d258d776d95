"""The event loop of a test."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo.network_layer import PyMongoProtocol
from tornado.ioloop import IOLoop

CANCEL_SECONDS = 60.0


class TidyLoop(asyncio.SelectorEventLoop):
    """Closes connections that PyMongo 4.20 leaves open when the task that opens them is cancelled.

    The ResourceWarning of the garbage collector would fail an unrelated test.
    """

    def __init__(self) -> None:
        super().__init__()
        self._of_pymongo: list[asyncio.Transport] = []

    async def create_connection(self, *args: Any, **options: Any) -> Any:
        transport, protocol = await super().create_connection(*args, **options)
        if isinstance(protocol, PyMongoProtocol):
            self._of_pymongo.append(transport)
        return transport, protocol

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        try:
            await super().sock_connect(sock, address)
        except asyncio.CancelledError:
            sock.close()
            raise

    async def abort_connections(self) -> None:
        """Aborts the connections of PyMongo that are still open."""
        for transport in self._of_pymongo:
            transport.abort()
        await asyncio.sleep(0)


@contextmanager
def new_loop() -> Iterator[IOLoop]:
    """The current loop while the block runs; then cancels its remaining tasks."""
    loop = TidyLoop()
    asyncio.set_event_loop(loop)
    io_loop = IOLoop(asyncio_loop=loop, make_current=False)
    try:
        yield io_loop
        loop.run_until_complete(_cancel_tasks(loop))
        loop.run_until_complete(loop.abort_connections())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        asyncio.set_event_loop(None)
        io_loop.close(all_fds=True)


async def _cancel_tasks(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop) - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    async with asyncio.timeout(CANCEL_SECONDS):
        await asyncio.gather(*tasks, return_exceptions=True)
