"""socketify (uWebSockets in C++): its own `publish` to a topic; on uvloop.

By default socketify busy-polls libuv from asyncio, which takes a whole core. Here asyncio waits for
libuv's file descriptor instead, so that only the work of socketify is measured.
"""

import asyncio
import ctypes
from typing import Any

import uvloop
from socketify import App, CompressOptions, OpCode
from socketify.native import ffi

from bench.fanout.control import EVENT, serve_control

TOPIC = "room"
TICK_SECONDS = 0.05
BACKPRESSURE_BYTES = 1 << 24
"""Backpressure limit per socket, never reached here: beyond it uWebSockets drops frames."""
BEHAVIOR = {
    "compression": CompressOptions.DISABLED,
    "idle_timeout": 0,
    "max_backpressure": BACKPRESSURE_BYTES,
    "open": lambda socket: socket.subscribe(TOPIC),
    "message": lambda _socket, _message, _opcode: None,
}


class SocketifyServer:
    """A socketify application whose libuv loop is run by the asyncio loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._app = App(lifespan=False)
        loop.set_task_factory(None)  # remove the one that socketify has set
        loop.set_exception_handler(None)
        self._app.ws("/*", BEHAVIOR)

    def listen(self) -> int:
        """Start listening; returns the port."""
        ports: list[int] = []
        address: Any = {"host": "127.0.0.1", "port": 0}
        self._app.listen(address, lambda config: ports.append(config.port))
        self._loop.add_reader(self._descriptor(), self._run_twice)
        self._tick()
        return ports[0]

    def publish(self, _mode: bytes) -> None:
        """Queue the event; uWebSockets sends it in its next loop iteration."""
        self._app.publish(TOPIC, EVENT, OpCode.TEXT)
        self._loop.call_soon(self._run_once)

    def _run_once(self) -> None:
        self._app.loop.uv_loop.run_nowait()

    def _run_twice(self) -> None:
        """Two iterations, as libuv polls the sockets it has accepted only from the next one on."""
        self._run_once()
        self._loop.call_soon(self._run_once)

    def _tick(self) -> None:
        """Run libuv periodically, for its timers and for sockets accepted in a second iteration."""
        self._run_once()
        self._loop.call_later(TICK_SECONDS, self._tick)

    def _descriptor(self) -> int:
        """libuv's backend file descriptor, from the library that socketify is linked with."""
        native = int(ffi.cast("uintptr_t", self._app.loop.get_native_loop()))
        descriptor: int = ctypes.CDLL("libuv.so.1").uv_backend_fd(ctypes.c_void_p(native))
        return descriptor


async def main() -> None:
    server = SocketifyServer(asyncio.get_running_loop())
    await serve_control(server.listen(), server.publish)


if __name__ == "__main__":
    uvloop.run(main())
