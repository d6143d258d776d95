import asyncio
import json
import random
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from chaos.event_check import EventChecker
from chaos.fleet import Node
from chaos.metrics import RunMetrics
from chaos.program import Program
from chaos.proxy import Proxy
from chaos.timeline import Timelines
from chaos.violations import Violations
from chaos.websocket_client import MAX_BACKOFF, MIN_BACKOFF, ClientConfig, RoomClient
from tests.support.stub_server import StubServer
from tests.support.waiting import until

WAIT = 10.0
client_test = pytest.mark.gen_test(timeout=30)
Behaviour = Callable[["FakeServer", asyncio.StreamWriter], None]


class FakeServer(StubServer):
    """Follows its script, one behaviour per connection; the last one repeats."""

    aborts = True

    def __init__(self) -> None:
        super().__init__()
        self.script: list[Behaviour] = []
        self.queries: list[str] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.queries.append(re.findall(r"GET (\S+)", head.decode())[0].partition("?")[2])
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        behaviour = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        behaviour(self, writer)


def send(writer: asyncio.StreamWriter, **frame: Any) -> None:
    payload = json.dumps(frame).encode()
    assert len(payload) < 65_536
    writer.write(b"\x81\x7e" + len(payload).to_bytes(2, "big") + payload)


def send_snapshot(writer: asyncio.StreamWriter, seq: int = 5) -> None:
    send(writer, type="snapshot", live_id=1, epoch="a", seq=seq, data={})


def send_gift(writer: asyncio.StreamWriter, seq: int) -> None:
    data = {"request_id": str(seq)}
    send(writer, type="gift", live_id=1, epoch="a", seq=seq, ts=0, data=data)


def send_resumed(writer: asyncio.StreamWriter, seq: int, replayed: int) -> None:
    send(writer, type="resumed", live_id=1, epoch="a", seq=seq, replayed=replayed)


def disconnects_after_a_gift(_: FakeServer, writer: asyncio.StreamWriter) -> None:
    send_snapshot(writer)
    send_gift(writer, 6)
    writer.close()


def sends_bye(code: int, retry_ms: int = 0) -> Behaviour:
    def behaviour(_: FakeServer, writer: asyncio.StreamWriter) -> None:
        send_snapshot(writer)
        send(writer, type="bye", code=code, retry_ms=retry_ms, reconnect=code < 4500)
        writer.write(b"\x88\x02" + code.to_bytes(2, "big"))

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
    config = ClientConfig(silence_timeout=1.0)
    client = RoomClient(fleet, checker, "token", metrics, config, random.Random(1))
    yield client

    async def stop() -> None:
        client.stop()
        await client.wait_stopped()
        await asyncio.sleep(0)

    io_loop.run_sync(stop)


@client_test
async def test_a_client_resumes_with_since_and_counts_its_deliveries(
    client: RoomClient, server: FakeServer, metrics: RunMetrics, violations: Violations
) -> None:
    def resumes(_: FakeServer, writer: asyncio.StreamWriter) -> None:
        send_resumed(writer, seq=8, replayed=2)
        for seq in (7, 8, 9):
            send_gift(writer, seq)

    server.script = [disconnects_after_a_gift, resumes]
    client.start()
    await until(lambda: client.checker.seq == 9)
    assert server.queries == ["live_id=1", "live_id=1&epoch=a&since=6"]
    assert (metrics.reconnects, client.checker.resumed) == (1, 1)
    assert sorted(metrics.delivered_at) == ["gift 6", "gift 9"], "replayed events are not timed"
    assert len(metrics.recovery_seconds["other"]) == 1
    assert not violations


@client_test
async def test_a_client_reconnects_after_a_gap(
    client: RoomClient, server: FakeServer, violations: Violations
) -> None:
    def skips_an_event(_: FakeServer, writer: asyncio.StreamWriter) -> None:
        send_snapshot(writer)
        send_gift(writer, 7)

    def resumes(_: FakeServer, writer: asyncio.StreamWriter) -> None:
        send_resumed(writer, seq=7, replayed=2)
        send_gift(writer, 6)
        send_gift(writer, 7)

    server.script = [skips_an_event, resumes]
    client.start()
    await until(lambda: client.checker.seq == 7)
    assert dict(violations.counts) == {"gap": 1}


@client_test
@pytest.mark.parametrize("code", [4401, 4503, 4504, 4509, 4510])
async def test_a_client_does_not_reconnect_after_a_final_close_code(
    client: RoomClient, server: FakeServer, code: int
) -> None:
    server.script = [sends_bye(code)]
    client.start()
    await asyncio.wait_for(client.wait_stopped(), WAIT)
    assert client.final_code == code
    assert len(server.queries) == 1


@client_test
async def test_a_client_reconnects_after_the_retry_time_of_a_bye(
    client: RoomClient, server: FakeServer
) -> None:
    server.script = [sends_bye(4000, retry_ms=700), sends_bye(4510)]
    client.start()
    started = asyncio.get_running_loop().time()
    await asyncio.wait_for(client.wait_stopped(), WAIT)
    assert asyncio.get_running_loop().time() - started >= 0.7
    assert len(server.queries) == 2


@client_test
async def test_a_client_drops_a_silent_connection(
    client: RoomClient, server: FakeServer, metrics: RunMetrics
) -> None:
    def falls_silent(_: FakeServer, writer: asyncio.StreamWriter) -> None:
        send_snapshot(writer)

    server.script = [falls_silent, sends_bye(4510)]
    client.start()
    await until(lambda: client.connected)
    now = asyncio.get_running_loop().time()
    client.check_silence(now)
    assert metrics.silence_timeouts == 0
    client.check_silence(now + 2)
    await asyncio.wait_for(client.wait_stopped(), WAIT)
    assert metrics.silence_timeouts == 1


@client_test
@pytest.mark.parametrize(
    "frame",
    [
        b"\x81\x03{}}",
        b"\x81\x02[]",
        b'\x81\x0f{"type":"gift"}',
        b'\x81\x09{"seq":6}',
        b'\x81\x0e{"type":"bye"}',
        b"\x82\x00",
    ],
)
async def test_an_unreadable_frame_is_a_violation_and_the_client_reconnects(
    client: RoomClient, server: FakeServer, violations: Violations, frame: bytes
) -> None:
    def sends_garbage(_: FakeServer, writer: asyncio.StreamWriter) -> None:
        send_snapshot(writer)
        writer.write(frame)

    def resumes(_: FakeServer, writer: asyncio.StreamWriter) -> None:
        send_resumed(writer, seq=5, replayed=0)

    server.script = [sends_garbage, resumes]
    client.start()
    await until(lambda: client.checker.resumed)
    assert dict(violations.counts) == {"unreadable_frame": 1}


@client_test
@pytest.mark.parametrize("cause", ["kill", "other"])
async def test_recoveries_are_recorded_by_cause(
    client: RoomClient, server: FakeServer, metrics: RunMetrics, cause: str
) -> None:
    def sends_snapshot(_: FakeServer, writer: asyncio.StreamWriter) -> None:
        send_snapshot(writer)

    def resumes(_: FakeServer, writer: asyncio.StreamWriter) -> None:
        send_resumed(writer, seq=5, replayed=0)

    server.script = [sends_snapshot, resumes]
    node = client._fleet.nodes[0]
    node.killed_at = asyncio.get_running_loop().time()
    client.start()
    await until(lambda: client.connected)
    if cause == "kill":
        node.killed_at = asyncio.get_running_loop().time()
    assert client.connection
    client.connection.abort()
    await until(lambda: client.checker.resumed)
    assert list(metrics.recovery_seconds) == [cause]


@client_test
async def test_a_client_tries_the_next_node_after_a_refused_connection(
    client: RoomClient, server: FakeServer, metrics: RunMetrics
) -> None:
    server.script = [lambda _, writer: send_snapshot(writer)]
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        down = SimpleNamespace(port=closed.getsockname()[1], killed_at=0.0)
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
