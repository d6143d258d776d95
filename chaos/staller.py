"""A reader that stops reading: it connects, takes the room, and then nothing more."""

import asyncio
import random
import socket

from chaos.client import PATH
from chaos.fleet import Fleet
from chaos.kernel import EVERY_SECONDS, Connections
from chaos.phones import Phone
from chaos.wire import Wire, handshake

RECEIVE_BYTES = 4_096
SEGMENT_BYTES = 1_400
"""As on a real network. On loopback segments have 64 KB, and the kernel would keep 2.6 MB for a
reader who does not read; so it keeps about 90 KB."""
POLL_SECONDS = 0.25
CUT_SECONDS = 10.0 + POLL_SECONDS + EVERY_SECONDS
"""How long a server may owe something to somebody who does not read, and that it is seen late."""
SPREAD_SECONDS = 10.0


class Staller:
    """Stalls again and again.

    `stalls` are the seconds until the server closed each socket, `cuts` those of them in which
    the kernel took nothing more: before, a server cannot know.
    """

    def __init__(
        self, fleet: Fleet, phone: Phone, connections: Connections, chance: random.Random
    ) -> None:
        self.cuts: list[float] = []
        self.stalls: list[float] = []
        self.never = 0
        """Sockets that were not closed within CUT_SECONDS."""
        self._fleet, self._phone, self._connections = fleet, phone, connections
        self._chance = chance

    async def stall(self) -> None:
        """For ever; cancel it. Not all begin at once: nor do people."""
        await asyncio.sleep(self._chance.uniform(0, SPREAD_SECONDS))
        while True:
            wire = await self._connect()
            if wire is None or wire.transport is None:
                await asyncio.sleep(1)
                continue
            try:
                await self._until_cut(wire)
            finally:
                wire.drop()

    async def leave(self) -> None:
        """The room, for good."""
        await self._phone.get("qlive_room/leave_room/", live_id=self._phone.live_id)

    async def _connect(self) -> Wire | None:
        """A socket that has its first frame and reads no further."""
        loop, first = asyncio.get_running_loop(), asyncio.Event()
        path = f"{PATH}?live_id={self._phone.live_id}"
        wire = Wire(handshake(path, self._phone.token), lambda _text: first.set())
        small = socket.socket()
        small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        small.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES)
        small.settimeout(0)
        port = self._chance.choice(self._fleet.nodes).own_port
        try:
            async with asyncio.timeout(10):
                await loop.sock_connect(small, ("127.0.0.1", port))
                await loop.create_connection(lambda: wire, sock=small)
                await first.wait()
        except (OSError, TimeoutError):
            small.close()
            return None
        assert wire.transport is not None
        wire.transport.pause_reading()
        return wire

    async def _until_cut(self, wire: Wire) -> None:
        """The server owes something from when the kernel takes no more of it."""
        assert wire.transport is not None
        here = wire.transport.get_extra_info("sockname")
        there = wire.transport.get_extra_info("peername")
        clock = asyncio.get_running_loop().time
        began = full_at = clock()
        taken, seen = 0, False
        unsent: int | None = 0
        try:
            while unsent is not None:
                await asyncio.sleep(POLL_SECONDS)
                unsent = self._connections.unsent(there[1], here[1])
                if unsent is not None:
                    seen = True
                elif seen:  # otherwise it has not stalled at all
                    self.cuts.append(clock() - full_at)
                    self.stalls.append(clock() - began)
                if unsent and unsent > taken:
                    taken, full_at = unsent, clock()
        finally:  # as a rule it is cancelled at the end of a phase, and may be overdue
            if unsent and clock() - full_at > CUT_SECONDS:
                self.never += 1
