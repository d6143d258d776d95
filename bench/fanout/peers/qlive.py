"""The whole server of ours with a live room, its MongoDB and all its rounds.

The byte says how: `b` as an event of the room goes, by the hub; `q` the same, as in a room that was
quiet before it; over the very same sockets `c` with a C loop of send(2), `p` with a Python loop of
`socket.send`.
"""

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path

import uvloop

import garbage
import logs
from bench.fanout.control import EVENT, run
from devsecrets import fill
from realtime.channel import Channel
from realtime.frames import frame
from rooms.events import Numbered
from server import Server
from settings import Settings

FRAME = frame(EVENT.encode())
DATA = {"user_id": "12345678", "nickname": "somebody", "gender": 1, "face_url": "x" * 82}


class Ways:
    """One event to everybody in the room, in each of three ways."""

    def __init__(self, server: Server, live_id: int, library: str) -> None:
        self._hub = server.parts.hub
        self._live_id = live_id
        self._send_to_all = ctypes.CDLL(library).send_to_all
        self._numbers: ctypes.Array[ctypes.c_int] = (ctypes.c_int * 0)()
        self._ways: dict[bytes, Callable[[Channel], None]] = {
            b"b": self._by_the_hub,
            b"q": self._after_a_silence,
            b"c": self._in_c,
            b"p": self._in_python,
        }

    def tell(self, way: bytes) -> None:
        channel = next(c for c in self._hub.channels if c.live_id == self._live_id)
        self._ways[way](channel)

    def _by_the_hub(self, channel: Channel) -> None:
        event = Numbered(channel.epoch or "", channel.told + 1, 1764082800123, "profile", DATA)
        self._hub.tell(self._live_id, [event])

    def _after_a_silence(self, channel: Channel) -> None:
        channel._fanout._busy_until = 0.0  # noqa: SLF001 - what 50 ms of waiting would do
        self._by_the_hub(channel)

    def _in_c(self, channel: Channel) -> None:
        n = len(channel.sockets)
        if len(self._numbers) != n:  # once: the loop is what is measured
            sockets = [outbox.push.__self__ for outbox in channel.sockets.values()]  # type: ignore[attr-defined]
            self._numbers = (ctypes.c_int * n)(*(socket.fileno() for socket in sockets))
        assert self._send_to_all(self._numbers, n, FRAME, len(FRAME)) == n

    def _in_python(self, channel: Channel) -> None:
        for outbox in channel.sockets.values():
            outbox.push(FRAME)


async def main(uri: str, database: str, live_id: int, library: str) -> None:
    logs.set_up("error", as_json=False)
    wanted = {
        "server": {"port": 0},
        "mongodb": {"uri": uri, "database": database},
        "limits": {"handshakes_per_second": 0},
        "realtime": {"heartbeat_seconds": 1800, "silent_seconds": 3600},  # nobody here says a word
    }
    secrets = Path(library).with_name("dev-secrets.json")
    server = Server(*fill(Settings.model_validate(wanted), secrets))
    await server.start()
    garbage.settle()
    port = int(server.address.rpartition(":")[2])
    await run(port, Ways(server, live_id, library).tell)


if __name__ == "__main__":
    uri, database, live_id, library = sys.argv[1:]
    uvloop.run(main(uri, database, int(live_id), library))
