"""Full QLive server with a live room, MongoDB and periodic jobs.

The control byte selects the mode in which an event is sent: `b` through the hub, as any event of
the room; `q` the same, as if the room had been quiet before; over the same sockets, `c` with a C
loop of send(2) and `p` with a Python loop of `socket.send`.
"""

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path

import uvloop

from bench.calls.peers.qlive import start_server
from bench.fanout.control import EVENT, serve_control
from realtime.channel import Channel
from realtime.frames import frame
from rooms.events import NumberedEvent
from runtime.process import ServerProcess
from telemetry.logging import configure_logging

EVENT_FRAME = frame(EVENT.encode())
EVENT_DATA = {"user_id": "12345678", "nickname": "somebody", "gender": 1, "face_url": "x" * 82}


class EventSender:
    """Sends an event to the room in the mode that the control byte selects."""

    def __init__(self, server: ServerProcess, live_id: int, library: str) -> None:
        self._hub = server.context.hub
        self._live_id = live_id
        self._send_to_all = ctypes.CDLL(library).send_to_all
        self._fds: ctypes.Array[ctypes.c_int] = (ctypes.c_int * 0)()
        self._senders: dict[bytes, Callable[[Channel], None]] = {
            b"b": self._through_hub,
            b"q": self._through_quiet_hub,
            b"c": self._in_c_loop,
            b"p": self._in_python_loop,
        }

    def publish(self, mode: bytes) -> None:
        channel = next(c for c in self._hub.channels if c.key == self._live_id)
        self._senders[mode](channel)

    def _through_hub(self, channel: Channel) -> None:
        epoch, seq = channel.epoch or "", channel.last_seq + 1
        event = NumberedEvent(epoch, seq, 1764082800123, "profile", EVENT_DATA)
        self._hub.publish(self._live_id, [event])

    def _through_quiet_hub(self, channel: Channel) -> None:
        channel._fanout._busy_until = 0.0  # noqa: SLF001 - as after 50 ms without an event
        self._through_hub(channel)

    def _in_c_loop(self, channel: Channel) -> None:
        n = len(channel.sockets)
        if len(self._fds) != n:  # cached: only the send loop is measured
            sockets = [writer.push.__self__ for writer in channel.sockets.values()]  # type: ignore[attr-defined]
            self._fds = (ctypes.c_int * n)(*(socket.fileno() for socket in sockets))
        assert self._send_to_all(self._fds, n, EVENT_FRAME, len(EVENT_FRAME)) == n

    def _in_python_loop(self, channel: Channel) -> None:
        for writer in channel.sockets.values():
            writer.push(EVENT_FRAME)


async def main(uri: str, database: str, live_id: int, library: str) -> None:
    configure_logging("error", as_json=False)
    server, port = await start_server(
        uri,
        database,
        Path(library).parent,
        realtime={"heartbeat_seconds": 1800},  # the crowd never sends
    )
    await serve_control(port, EventSender(server, live_id, library).publish)


if __name__ == "__main__":
    uri, database, live_id, library = sys.argv[1:]
    uvloop.run(main(uri, database, int(live_id), library))
