"""A client of a storm notices what is wrong on its connection."""

import asyncio
import json
import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tornado.ioloop import IOLoop
from websockets.asyncio.server import ServerConnection, serve

from chaos.event_check import EventChecker
from chaos.fleet import Node
from chaos.metrics import RunMetrics
from chaos.program import Program
from chaos.proxy import Proxy
from chaos.timeline import Timelines
from chaos.violations import Violations
from chaos.websocket_client import RoomClient
from tests.support.waiting import until

WAIT = 10.0
STAYS = 0
"""Keeps a connection open after its frames; any other number is a close code."""


def frame(type_: str, seq: int, **more: Any) -> str:
    return json.dumps({"type": type_, "live_id": 1, "epoch": "a", "seq": seq} | more)


def gifts(*numbers: int) -> list[str]:
    return [frame("gift", n, ts=0, data={"request_id": str(n)}) for n in numbers]


def bye(code: int) -> str:
    return json.dumps({"type": "bye", "code": code, "retry_ms": 0, "reconnect": False})


SNAPSHOT = frame("snapshot", 5, data={})


class ScriptedRoom:
    """A server that sends the frames of its script, connection by connection, and its client."""

    def __init__(self, folder: Path) -> None:
        self.script: list[tuple[int, list[Any]]] = []
        self.queries: list[str] = []
        self.metrics, self.violations = RunMetrics(), Violations()
        self._folder = folder

    async def start(self) -> None:
        self._server = await serve(self._answer, "127.0.0.1", 0)
        port = int(next(iter(self._server.sockets)).getsockname()[1])
        node = Node(0, Program([], self._folder, {}, self._folder / "log"), Proxy(1), port)
        fleet: Any = SimpleNamespace(nodes=[node], connect_order=lambda _rng: fleet.nodes)
        checker = EventChecker("client", 1, Timelines(), self.violations)
        self.client = RoomClient(fleet, checker, "token", self.metrics, 1.0, random.Random(1))

    async def stop(self) -> None:
        self.client.stop()
        await self.client.wait_stopped()
        await asyncio.sleep(0)
        self._server.close()

    def run(self, *script: tuple[int, list[Any]]) -> RoomClient:
        self.script = [*script]
        self.client.start()
        return self.client

    async def _answer(self, connection: ServerConnection) -> None:
        assert connection.request
        self.queries.append(connection.request.path.partition("?")[2])
        end, frames = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        for text in frames:
            await connection.send(text)
        if end == STAYS:
            await connection.wait_closed()
        else:
            await connection.close(end)


@pytest.fixture
def room(io_loop: IOLoop, tmp_path: Path) -> Iterator[ScriptedRoom]:
    room = ScriptedRoom(tmp_path)
    io_loop.run_sync(room.start)
    yield room
    io_loop.run_sync(room.stop)


@pytest.mark.parametrize(
    ("wrong", "violation"),
    [
        (gifts(7)[0], "gap"),
        *((text, "unreadable_frame") for text in ("{}}", '{"type":"gift"}', '{"seq":6}', b"")),
    ],
)
async def test_a_client_reconnects_after_a_gap_or_an_unreadable_frame(
    room: ScriptedRoom, wrong: Any, violation: str
) -> None:
    client = room.run(
        (STAYS, [SNAPSHOT, wrong]), (STAYS, [frame("resumed", 7, replayed=2), *gifts(6, 7)])
    )
    await until(lambda: client.checker.seq == 7)
    assert dict(room.violations.counts) == {violation: 1}


async def test_a_client_drops_a_silent_connection_and_stops_at_a_final_code(
    room: ScriptedRoom,
) -> None:
    client = room.run((STAYS, [SNAPSHOT]), (4510, [SNAPSHOT, bye(4510)]))
    await until(lambda: client.connected)
    client.check_silence(asyncio.get_running_loop().time() + 2)
    await asyncio.wait_for(client.wait_stopped(), WAIT)
    assert (room.metrics.silence_timeouts, client.final_code) == (1, 4510)
    assert room.queries == ["live_id=1", "live_id=1&epoch=a&since=5"]
