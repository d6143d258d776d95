"""The measured servers: their commands and how the crowd connects."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.fanout.control import EVENT
from bench.fixtures import create_live_rooms, create_viewers
from bench.peers import Peers
from rooms.room import Room

HERE = Path(__file__).parent
SOCKET_IO_OPTIONS = ("-p", "/socket.io/?EIO=4&transport=websocket", "-s", "40")
QLIVE_SOCKET_PATH = "/wx/api/qlive/ws/?live_id="
QLIVE = "QLive"


@dataclass(frozen=True, slots=True)
class MeasuredServer:
    """A measured server: command, crowd options and the peer it requires."""

    name: str
    command: Sequence[str]
    options: Sequence[str] = ()
    requires: str = "Tornado"


def _python(module: str, python: str = sys.executable) -> list[str]:
    return [python, "-m", f"bench.fanout.peers.{module}"]


def _node(script: str) -> list[str]:
    return ["node", "--expose-gc", str(HERE / "peers" / script)]


HUB_ONLY = "the QLive hub alone, without MongoDB"
TORNADO = "Tornado, `write_message` to each"
TORNADO_TUNED = "Tornado with QLive's GC settings"
PEER_SERVERS = (
    MeasuredServer(HUB_ONLY, _python("hub_only")),
    MeasuredServer(TORNADO, _python("tornado_")),
    MeasuredServer(TORNADO_TUNED, [*_python("tornado_"), "tuned-gc"]),
    MeasuredServer("`websockets`, `broadcast`", _python("websockets_"), requires="websockets"),
    MeasuredServer("aiohttp, `send_str` to each", _python("aiohttp_"), requires="aiohttp"),
    MeasuredServer("picows, `send` to each", _python("picows_"), requires="picows"),
    MeasuredServer(
        "socketify (uWebSockets), `publish`", _python("socketify_"), requires="socketify"
    ),
    MeasuredServer(
        "python-socketio, `emit`", _python("socketio_"), SOCKET_IO_OPTIONS, "python-socketio"
    ),
    MeasuredServer("node ws, `send` to each", _node("ws.mjs"), requires="ws"),
    MeasuredServer("node socket.io, `emit`", _node("socketio.mjs"), SOCKET_IO_OPTIONS, "socket.io"),
)


def environment(peers: Peers) -> Mapping[str, str]:
    root = str(HERE.parents[1])
    variables = {"PYTHONPATH": root, "BENCH_EVENT": EVENT, "BENCH_MODULES": str(peers.package_json)}
    return {**os.environ, **variables}


async def qlive_server(
    uri: str, database: str, sockets: int, library: Path, python: str = sys.executable
) -> MeasuredServer:
    """The full QLive server; writes a room with a viewer per socket to MongoDB."""
    (room,) = await create_live_rooms(uri, database, 1)
    rooms = [room] * sockets
    token_file = library.with_name(f"tokens-{database}")
    token_file.write_text(token_lines(rooms, await create_viewers(uri, database, rooms)))
    command = [*_python("qlive", python), uri, database, str(room.live_id), str(library)]
    return MeasuredServer(QLIVE, command, ("-j", "-p", QLIVE_SOCKET_PATH, "-t", str(token_file)))


def token_lines(rooms: Sequence[Room], tokens: Sequence[str]) -> str:
    """The token file that crowd.c reads: token and live_id per line."""
    return "".join(f"{token} {room.live_id}\n" for token, room in zip(tokens, rooms, strict=True))
