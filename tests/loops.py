"""The event loop of a test."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tornado.ioloop import IOLoop

LEAVING_SECONDS = 5.0


class TidyLoop(asyncio.SelectorEventLoop):
    """Closes a socket whose connecting is cancelled, which PyMongo 4.20 leaves to the garbage
    collector: its warning would fail whichever test is running by then."""

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        try:
            await super().sock_connect(sock, address)
        except asyncio.CancelledError:
            sock.close()
            raise


@contextmanager
def new_loop() -> Iterator[IOLoop]:
    """The current loop while the block runs; ends the tasks that are left on it."""
    loop = TidyLoop()
    asyncio.set_event_loop(loop)
    io_loop = IOLoop(asyncio_loop=loop, make_current=False)
    try:
        yield io_loop
        loop.run_until_complete(_end_tasks(loop))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        asyncio.set_event_loop(None)
        io_loop.close(all_fds=True)


async def _end_tasks(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop) - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    async with asyncio.timeout(LEAVING_SECONDS):
        await asyncio.gather(*tasks, return_exceptions=True)
