import asyncio
import json
import random
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tornado.ioloop import IOLoop
from websockets.asyncio.server import Server, ServerConnection, serve

from chaos.event_check import EventChecker
from chaos.fleet import Node
from chaos.metrics import RunMetrics
from chaos.program import Program
from chaos.proxy import Proxy
from chaos.timeline import Timelines
from chaos.violations import Violations
from chaos.websocket_client import MAX_BACKOFF, MIN_BACKOFF, RoomClient
from tests.support.waiting import until

WAIT = 10.0
Behaviour = Callable[[ServerConnection], Awaitable[None]]


class FakeServer:
    """Follows its script, one behaviour per connection; the last one repeats."""

    def __init__(self) -> None:
        self.script: list[Behaviour] = []
        self.queries: list[str] = []
        self._server: Server | None = None

    async def start(self) -> None:
        self._server = await serve(self._answer, "127.0.0.1", 0)

    async def stop(self) -> None:
        assert self._server
        self._server.close()

    @property
    def port(self) -> int:
        assert self._server
        return int(next(iter(self._server.sockets)).getsockname()[1])

    async def _answer(self, connection: ServerConnection) -> None:
        assert connection.request
        self.queries.append(connection.request.path.partition("?")[2])
        await (self.script.pop(0) if len(self.script) > 1 else self.script[0])(connection)


async def send(connection: ServerConnection, type_: str, seq: int, **more: Any) -> None:
    await connection.send(
        json.dumps({"type": type_, "live_id": 1, "epoch": "a", "seq": seq} | more)
    )


def stays(seq: int = 5, replayed: int | None = None, events: Sequence[int] = ()) -> Behaviour:
    """Sends a snapshot, or `resumed` with `replayed`, then events, and keeps the connection."""

    async def behaviour(connection: ServerConnection) -> None:
        if replayed is None:
            await send(connection, "snapshot", seq, data={})
        else:
            await send(connection, "resumed", seq, replayed=replayed)
        for number in events:
            await send(connection, "gift", number, ts=0, data={"request_id": str(number)})
        await connection.wait_closed()

    return behaviour


async def disconnects_after_a_gift(connection: ServerConnection) -> None:
    await send(connection, "snapshot", 5, data={})
    await send(connection, "gift", 6, ts=0, data={"request_id": "6"})


def sends_bye(code: int, retry_ms: int = 0) -> Behaviour:
    async def behaviour(connection: ServerConnection) -> None:
        await send(connection, "snapshot", 5, data={})
        bye = {"type": "bye", "code": code, "retry_ms": retry_ms, "reconnect": code < 4500}
        await connection.send(json.dumps(bye))
        await connection.close(code)

    return behaviour


@pytest.fixture
def server(io_loop: IOLoop) -> Iterator[FakeServer]:
    server = FakeServer()
    io_loop.run_sync(server.start)
    yield server
    io_loop.run_sync(server.stop)


@pytest.fixture
def metrics() -> RunMetrics:
    return RunMetrics()


@pytest.fixture
def violations() -> Violations:
    return Violations()


@pytest.fixture
def client(
    io_loop: IOLoop,
    server: FakeServer,
    metrics: RunMetrics,
    violations: Violations,
    tmp_path: Path,
) -> Iterator[RoomClient]:
    node = Node(0, Program([], tmp_path, {}, tmp_path / "log"), Proxy(1), server.port)
    fleet: Any = SimpleNamespace(nodes=[node], connect_order=lambda _rng: fleet.nodes)
    checker = EventChecker("client", 1, Timelines(), violations)
    client = RoomClient(fleet, checker, "token", metrics, 1.0, random.Random(1))
    yield client

    async def stop() -> None:
        client.stop()
        await client.wait_stopped()
        await asyncio.sleep(0)

    io_loop.run_sync(stop)


async def test_a_client_resumes_with_since_and_counts_its_deliveries(
    client: RoomClient, server: FakeServer, metrics: RunMetrics, violations: Violations
) -> None:
    server.script = [disconnects_after_a_gift, stays(8, 2, [7, 8, 9])]
    client.start()
    await until(lambda: client.checker.seq == 9)
    assert server.queries == ["live_id=1", "live_id=1&epoch=a&since=6"]
    assert (metrics.reconnects, client.checker.resumed) == (1, 1)
    assert not violations


async def test_a_client_reconnects_after_a_gap(
    client: RoomClient, server: FakeServer, violations: Violations
) -> None:
    server.script = [stays(events=[7]), stays(7, 2, [6, 7])]
    client.start()
    await until(lambda: client.checker.seq == 7)
    assert dict(violations.counts) == {"gap": 1}


@pytest.mark.parametrize("code", [4401, 4503])
async def test_a_client_reconnects_after_the_time_of_a_bye_and_not_after_a_final_code(
    client: RoomClient, server: FakeServer, code: int
) -> None:
    server.script = [sends_bye(4000, retry_ms=300), sends_bye(code)]
    client.start()
    started = asyncio.get_running_loop().time()
    await asyncio.wait_for(client.wait_stopped(), WAIT)
    assert asyncio.get_running_loop().time() - started >= 0.3
    assert client.final_code == code
    assert len(server.queries) == 2


async def test_a_client_drops_a_silent_connection(
    client: RoomClient, server: FakeServer, metrics: RunMetrics
) -> None:
    server.script = [stays(), sends_bye(4510)]
    client.start()
    await until(lambda: client.connected)
    now = asyncio.get_running_loop().time()
    client.check_silence(now)
    assert metrics.silence_timeouts == 0
    client.check_silence(now + 2)
    await asyncio.wait_for(client.wait_stopped(), WAIT)
    assert metrics.silence_timeouts == 1


@pytest.mark.parametrize("frame", ["{}}", '{"type":"gift"}', '{"seq":6}', b""])
async def test_an_unreadable_frame_is_a_violation_and_the_client_reconnects(
    client: RoomClient, server: FakeServer, violations: Violations, frame: str | bytes
) -> None:
    async def sends_garbage(connection: ServerConnection) -> None:
        await send(connection, "snapshot", 5, data={})
        await connection.send(frame)
        await connection.wait_closed()

    server.script = [sends_garbage, stays(replayed=0)]
    client.start()
    await until(lambda: client.checker.resumed)
    assert dict(violations.counts) == {"unreadable_frame": 1}


async def test_a_client_tries_the_next_node_after_a_refused_connection(
    client: RoomClient, server: FakeServer, metrics: RunMetrics
) -> None:
    server.script = [stays()]
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        down = SimpleNamespace(port=closed.getsockname()[1])
        client._fleet.nodes.insert(0, down)
        client.start()
        await until(lambda: client.connected)
    assert client.node is client._fleet.nodes[1]
    assert metrics.reconnects == 0


def test_backoff_grows_within_bounds(client: RoomClient) -> None:
    rows: list[list[float]] = []
    for _ in range(200):
        client._failures = 0
        rows.append([client._backoff() for _ in range(12)])
    longest = [max(column) for column in zip(*rows, strict=True)]
    assert min(map(min, rows)) >= MIN_BACKOFF
    assert max(longest) <= MAX_BACKOFF
    assert longest[0] <= 0.5 < longest[3]
    assert longest[-1] > 10
