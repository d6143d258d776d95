"""The event loop of a test."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tornado.ioloop import IOLoop

CANCEL_SECONDS = 60.0


class TidyLoop(asyncio.SelectorEventLoop):
    """Closes a socket when its connecting is cancelled.

    PyMongo 4.20 leaves that to the garbage collector, whose ResourceWarning would fail an unrelated
    test.
    """

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        try:
            await super().sock_connect(sock, address)
        except asyncio.CancelledError:
            sock.close()
            raise


@contextmanager
def new_loop() -> Iterator[IOLoop]:
    """The current loop while the block runs; then cancels its remaining tasks."""
    loop = TidyLoop()
    asyncio.set_event_loop(loop)
    io_loop = IOLoop(asyncio_loop=loop, make_current=False)
    try:
        yield io_loop
        loop.run_until_complete(_cancel_tasks(loop))
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
