"""A TCP proxy that can be a bad network: put it before whatever is to be hard to reach."""

import asyncio
import random
import socket
from collections.abc import Iterable

from chaos.link import End, Link
from chaos.pipe import Weather

UP, DOWN = "up", "down"
"""Up is towards the server that stands behind the proxy, down is back to whoever called it."""
BOTH = (UP, DOWN)


class Proxy:
    """Listens on `port`, calls `target_port`; both on this machine.

    The port stays ours from `start` to `stop`, also while nobody is let in.
    """

    def __init__(self, target_port: int, seed: str = "") -> None:
        self.port = 0
        self.up, self.down = Weather(), Weather()
        self.chance = random.Random(seed)
        self.links: set[Link] = set()
        self._target_port = target_port
        self._place: socket.socket | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Returns the port."""
        self._place = _place(0)
        self.port = self._place.getsockname()[1]
        await self.let_in()
        return self.port

    async def stop(self) -> None:
        self.refuse()
        self.reset_all()
        if self._place:
            self._place.close()
        await asyncio.sleep(0)  # aborted transports close their sockets in the next turn

    # ---- troubles

    def reset_all(self) -> int:
        """Reset every connection there is, now; how many."""
        links = list(self.links)
        for link in links:
            link.reset()
        return len(links)

    def half_open(self, ways: Iterable[str] = BOTH) -> None:
        """From now on what is said vanishes; connections stay, and stay dumb when it is over."""
        for weather in self._of(ways):
            weather.swallowing = True

    def hold(self, ways: Iterable[str] = BOTH) -> None:
        """Nothing moves; it comes when this is over."""
        for weather in self._of(ways):
            weather.held = True

    def slow(self, seconds: float, ways: Iterable[str] = BOTH) -> None:
        for weather in self._of(ways):
            weather.delay = seconds

    def lossy(self, chance: float, ways: Iterable[str] = BOTH) -> None:
        """Each piece of data resets its connection with this chance."""
        for weather in self._of(ways):
            weather.loss = chance

    def refuse(self) -> None:
        """Nobody new is let in; who is in stays."""
        if self._server:
            self._server.close()
            self._server = None

    async def let_in(self) -> None:
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(
                lambda: self._new_link().near, sock=_place(self.port), backlog=4096
            )

    async def heal(self) -> None:
        """Fine weather; what has vanished stays lost, and with it those connections."""
        self.up.clear()
        self.down.clear()
        for link in list(self.links):
            link.flow()
        await self.let_in()

    # ---- for its links

    async def reach(self, end: End) -> asyncio.Transport:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(lambda: end, "127.0.0.1", self._target_port)
        return transport

    def forget(self, link: Link) -> None:
        self.links.discard(link)

    def _new_link(self) -> Link:
        link = Link(self)
        self.links.add(link)
        return link

    def _of(self, ways: Iterable[str]) -> list[Weather]:
        return [{UP: self.up, DOWN: self.down}[way] for way in ways]


def _place(port: int) -> socket.socket:
    """A bound socket. Bound and not listening it keeps the port and refuses whoever calls."""
    place = socket.socket()
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    place.bind(("127.0.0.1", port))
    return place
