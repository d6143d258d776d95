"""socketify, which is uWebSockets in C++: its own `publish` to a topic; on uvloop.

By itself socketify polls libuv from asyncio without a pause, which takes a whole core. Here asyncio
waits for libuv's descriptor instead, so that only its work is measured.
"""

import asyncio
import ctypes
from typing import Any

import uvloop
from socketify import App, CompressOptions, OpCode
from socketify.native import ffi

from bench.fanout.control import EVENT, run

ROOM = "room"
TICK_SECONDS = 0.05
UNSENT_BYTES = 1 << 24
"""More than any listener is ever behind: beyond it uWebSockets drops frames."""
LISTENING = {
    "compression": CompressOptions.DISABLED,
    "idle_timeout": 0,
    "max_backpressure": UNSENT_BYTES,
    "open": lambda socket: socket.subscribe(ROOM),
    "message": lambda _socket, _message, _opcode: None,
}


class Server:
    """An application of socketify whose libuv runs within asyncio's loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._app = App(lifespan=False)
        loop.set_task_factory(None)  # socketify has put its own there
        loop.set_exception_handler(None)
        self._app.ws("/*", LISTENING)

    def listen(self) -> int:
        """The port."""
        ports: list[int] = []
        where: Any = {"host": "127.0.0.1", "port": 0}
        self._app.listen(where, lambda listening: ports.append(listening.port))
        self._loop.add_reader(self._descriptor(), self._turn_twice)
        self._tick()
        return ports[0]

    def publish(self, _way: bytes) -> None:
        """uWebSockets keeps it until the loop turns, as in a server of its own."""
        self._app.publish(ROOM, EVENT, OpCode.TEXT)
        self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._app.loop.uv_loop.run_nowait()

    def _turn_twice(self) -> None:
        """libuv waits for the sockets that it has accepted only from its next turn on."""
        self._turn()
        self._loop.call_soon(self._turn)

    def _tick(self) -> None:
        """For libuv's timers, and for a socket accepted in the second of two turns."""
        self._turn()
        self._loop.call_later(TICK_SECONDS, self._tick)

    def _descriptor(self) -> int:
        """What libuv waits on, of the library that socketify itself is linked with."""
        native = int(ffi.cast("uintptr_t", self._app.loop.get_native_loop()))
        descriptor: int = ctypes.CDLL("libuv.so.1").uv_backend_fd(ctypes.c_void_p(native))
        return descriptor


async def main() -> None:
    server = Server(asyncio.get_running_loop())
    await run(server.listen(), server.publish)


if __name__ == "__main__":
    uvloop.run(main())
