"""One connection through the proxy: two sockets and a pipe in each direction."""

import asyncio
import random
import socket
import struct
from typing import Protocol

from chaos.pipe import Pipe, Weather

AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER on, for 0 s: closing sends a reset instead of the orderly end."""


class Owner(Protocol):
    """What a link needs to know of its proxy."""

    up: Weather
    down: Weather
    chance: random.Random

    async def reach(self, end: "End") -> asyncio.Transport: ...

    def forget(self, link: "Link") -> None: ...


class Link:
    """From the one who called (`near`) to the one who was meant (`far`)."""

    def __init__(self, proxy: Owner) -> None:
        self.near, self.far = End(self), End(self)
        self.up, self.down = Pipe(proxy.up), Pipe(proxy.down)
        self.deaf = False
        """Something has vanished: TCP never goes on after a hole, so nothing passes any more."""
        self._proxy = proxy
        self._dialling: asyncio.Task[None] | None = None

    def opened(self) -> None:
        """Somebody calls: call whom they mean, unless that would be lost on the way."""
        self.down.sink = self.near.transport
        if self._proxy.up.swallowing:
            self.deaf = True
            return
        self._dialling = asyncio.get_running_loop().create_task(self._dial())

    def carry(self, end: "End", data: bytes | None) -> None:
        """Take what `end` said (None: its end) to the other one."""
        pipe = self.up if end is self.near else self.down
        if self.deaf or pipe.weather.swallowing:
            self.deaf = True
        elif data and pipe.weather.loss and self._proxy.chance.random() < pipe.weather.loss:
            self.reset()
        else:
            pipe.put(data)

    def lost(self, end: "End") -> None:
        """One side is gone. The other hears of it, if the line still carries anything."""
        self.carry(end, None)
        if not self.near.open and not self.far.open:
            self._proxy.forget(self)

    def flow(self) -> None:
        self.up.flow()
        self.down.flow()

    def reset(self) -> None:
        """Both sides see a reset, now."""
        self.up.stop()
        self.down.stop()
        if self._dialling:
            self._dialling.cancel()
        for end in (self.near, self.far):
            end.abort()

    async def _dial(self) -> None:
        try:
            self.up.sink = await self._proxy.reach(self.far)
        except OSError:
            self.near.abort()
        else:
            if self.near.open:
                self.up.flow()
            else:
                self.far.abort()


class End(asyncio.Protocol):
    """One of the two sockets."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.transport: asyncio.Transport | None = None
        self.open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.open = transport, True
        if self is self.link.near:
            self.link.opened()

    def data_received(self, data: bytes) -> None:
        self.link.carry(self, data)

    def connection_lost(self, _error: Exception | None) -> None:
        self.open = False
        self.link.lost(self)

    def pause_writing(self) -> None:
        """The other side sends faster than this one reads: let it feel that, as TCP does."""
        if other := self._other.transport:
            other.pause_reading()

    def resume_writing(self) -> None:
        other = self._other.transport
        if other and not other.is_closing():
            other.resume_reading()

    def abort(self) -> None:
        if self.transport is None:
            return
        raw = self.transport.get_extra_info("socket")
        if raw is not None and raw.fileno() >= 0:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        self.transport.abort()

    @property
    def _other(self) -> "End":
        return self.link.far if self is self.link.near else self.link.near
