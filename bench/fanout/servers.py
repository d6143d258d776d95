"""Everybody who tells a crowd: how each is started, and how its sockets are opened."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.fanout.control import EVENT
from bench.peers import Peers
from bench.people import enter, open_rooms
from rooms.room import Room

HERE = Path(__file__).parent
SOCKET_IO = ("-p", "/socket.io/?EIO=4&transport=websocket", "-s", "40")
SOCKET = "/wx/api/qlive/ws/?live_id="
OURS = "QLive"


@dataclass(frozen=True, slots=True)
class Told:
    """A server, the options of its crowd, and the peer that must be there for it."""

    name: str
    command: Sequence[str]
    options: Sequence[str] = ()
    needs: str = "Tornado"


def _python(module: str, python: str = sys.executable) -> list[str]:
    return [python, "-m", f"bench.fanout.peers.{module}"]


def _node(script: str) -> list[str]:
    return ["node", "--expose-gc", str(HERE / "peers" / script)]


PEERS = (
    Told("our hub alone, without MongoDB", _python("wire_only")),
    Told("Tornado, `write_message` to each", _python("tornado_")),
    Told("Tornado with our collector's settings", [*_python("tornado_"), "settled"]),
    Told("`websockets`, `broadcast`", _python("websockets_"), needs="websockets"),
    Told("aiohttp, `send_str` to each", _python("aiohttp_"), needs="aiohttp"),
    Told("picows, `send` to each", _python("picows_"), needs="picows"),
    Told("socketify (uWebSockets), `publish`", _python("socketify_"), needs="socketify"),
    Told("python-socketio, `emit`", _python("socketio_"), SOCKET_IO, "python-socketio"),
    Told("node ws, `send` to each", _node("ws.mjs"), needs="ws"),
    Told("node socket.io, `emit`", _node("socketio.mjs"), SOCKET_IO, "socket.io"),
)
ALONE, TORNADO, SETTLED = (it.name for it in PEERS[:3])


def environment(peers: Peers) -> Mapping[str, str]:
    root = str(HERE.parents[1])
    given = {"PYTHONPATH": root, "BENCH_EVENT": EVENT, "BENCH_MODULES": str(peers.modules)}
    return {**os.environ, **given}


async def ours(
    uri: str, database: str, people: int, library: Path, python: str = sys.executable
) -> Told:
    """The whole server, with a room of so many in its database."""
    (room,) = await open_rooms(uri, database, 1)
    tokens = library.with_name(f"tokens-{database}")
    tokens.write_text(lines([room] * people, await enter(uri, database, [room] * people)))
    command = [*_python("qlive", python), uri, database, str(room.live_id), str(library)]
    return Told(OURS, command, ("-j", "-p", SOCKET, "-t", str(tokens)))


def lines(rooms: Sequence[Room], tokens: Sequence[str]) -> str:
    """As the crowd reads them."""
    return "".join(f"{token} {room.live_id}\n" for token, room in zip(tokens, rooms, strict=True))
