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

from chaos.client import LONGEST_WAIT, SHORTEST_WAIT, Client, Manners
from chaos.figures import Figures
from chaos.fleet import Node
from chaos.hearing import Hearing
from chaos.program import Program
from chaos.proxy import Proxy
from chaos.story import Faults, Stories

WAIT = 10.0
a_client = pytest.mark.gen_test(timeout=30)
Act = Callable[["Server", asyncio.StreamWriter], None]


class Server:
    """Does what its script says, one line of it per connection; the last one for ever."""

    def __init__(self) -> None:
        self.script: list[Act] = []
        self.asked: list[str] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(re.findall(r"GET (\S+)", head.decode())[0].partition("?")[2])
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        act = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        act(self, writer)


def say(writer: asyncio.StreamWriter, **frame: Any) -> None:
    payload = json.dumps(frame).encode()
    assert len(payload) < 65_536
    writer.write(b"\x81\x7e" + len(payload).to_bytes(2, "big") + payload)


def show(writer: asyncio.StreamWriter, seq: int = 5) -> None:
    say(writer, type="snapshot", live_id=1, epoch="a", seq=seq, data={})


def gift(writer: asyncio.StreamWriter, seq: int) -> None:
    data = {"request_id": str(seq)}
    say(writer, type="gift", live_id=1, epoch="a", seq=seq, ts=0, data=data)


def resume(writer: asyncio.StreamWriter, seq: int, replayed: int) -> None:
    say(writer, type="resumed", live_id=1, epoch="a", seq=seq, replayed=replayed)


def shows_and_vanishes(_: Server, writer: asyncio.StreamWriter) -> None:
    show(writer)
    gift(writer, 6)
    writer.close()


def says_goodbye(code: int, retry_ms: int = 0) -> Act:
    def act(_: Server, writer: asyncio.StreamWriter) -> None:
        show(writer)
        say(writer, type="bye", code=code, retry_ms=retry_ms, reconnect=code < 4500)
        writer.write(b"\x88\x02" + code.to_bytes(2, "big"))

    return act


@pytest.fixture
def server(io_loop: IOLoop) -> Iterator[Server]:
    server = Server()
    io_loop.run_sync(server.start)
    yield server
    io_loop.run_sync(server.stop)


@pytest.fixture
def figures() -> Figures:
    return Figures()


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def client(
    io_loop: IOLoop, server: Server, figures: Figures, faults: Faults, tmp_path: Path
) -> Iterator[Client]:
    node = Node(0, Program([], tmp_path, {}, tmp_path / "log"), Proxy(1), server.port)
    fleet: Any = SimpleNamespace(nodes=[node], doors=lambda _chance: fleet.nodes)
    hearing = Hearing("ear", 1, Stories(), faults)
    client = Client(fleet, hearing, "token", figures, Manners(silence=1.0), random.Random(1))
    yield client

    async def stop() -> None:
        client.stop()
        await client.over()
        await asyncio.sleep(0)

    io_loop.run_sync(stop)


async def until(done: Callable[[], Any]) -> None:
    async with asyncio.timeout(WAIT):
        while not done():
            await asyncio.sleep(0.01)


@a_client
async def test_it_comes_back_with_since_and_counts_what_it_heard(
    client: Client, server: Server, figures: Figures, faults: Faults
) -> None:
    def resumes(_: Server, writer: asyncio.StreamWriter) -> None:
        resume(writer, seq=8, replayed=2)
        for seq in (7, 8, 9):
            gift(writer, seq)

    server.script = [shows_and_vanishes, resumes]
    client.begin()
    await until(lambda: client.hearing.seq == 9)
    assert server.asked == ["live_id=1", "live_id=1&epoch=a&since=6"]
    assert (figures.reconnects, client.hearing.resumed) == (1, 1)
    assert sorted(figures.told) == ["gift 6", "gift 9"], "what was replayed is not timed"
    assert len(figures.backs["other"]) == 1
    assert not faults


@a_client
async def test_it_comes_back_when_something_is_missing(
    client: Client, server: Server, faults: Faults
) -> None:
    def skips(_: Server, writer: asyncio.StreamWriter) -> None:
        show(writer)
        gift(writer, 7)

    def resumes(_: Server, writer: asyncio.StreamWriter) -> None:
        resume(writer, seq=7, replayed=2)
        gift(writer, 6)
        gift(writer, 7)

    server.script = [skips, resumes]
    client.begin()
    await until(lambda: client.hearing.seq == 7)
    assert dict(faults.counts) == {"gap": 1}


@a_client
@pytest.mark.parametrize("code", [4401, 4503, 4504, 4509, 4510])
async def test_it_does_not_come_back_after_a_final_code(
    client: Client, server: Server, code: int
) -> None:
    server.script = [says_goodbye(code)]
    client.begin()
    await asyncio.wait_for(client.over(), WAIT)
    assert client.final == code
    assert len(server.asked) == 1


@a_client
async def test_it_comes_back_when_the_goodbye_says(client: Client, server: Server) -> None:
    server.script = [says_goodbye(4000, retry_ms=700), says_goodbye(4510)]
    client.begin()
    began = asyncio.get_running_loop().time()
    await asyncio.wait_for(client.over(), WAIT)
    assert asyncio.get_running_loop().time() - began >= 0.7
    assert len(server.asked) == 2


@a_client
async def test_it_leaves_a_connection_on_which_nothing_is_heard(
    client: Client, server: Server, figures: Figures
) -> None:
    def is_dumb(_: Server, writer: asyncio.StreamWriter) -> None:
        show(writer)

    server.script = [is_dumb, says_goodbye(4510)]
    client.begin()
    await until(lambda: client.connected)
    now = asyncio.get_running_loop().time()
    client.look_after(now)
    assert figures.silences == 0
    client.look_after(now + 2)
    await asyncio.wait_for(client.over(), WAIT)
    assert figures.silences == 1


@a_client
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
async def test_what_it_cannot_read_is_a_fault_and_it_comes_back(
    client: Client, server: Server, faults: Faults, frame: bytes
) -> None:
    def babbles(_: Server, writer: asyncio.StreamWriter) -> None:
        show(writer)
        writer.write(frame)

    def resumes(_: Server, writer: asyncio.StreamWriter) -> None:
        resume(writer, seq=5, replayed=0)

    server.script = [babbles, resumes]
    client.begin()
    await until(lambda: client.hearing.resumed)
    assert dict(faults.counts) == {"unreadable": 1}


@a_client
@pytest.mark.parametrize("why", ["kill", "other"])
async def test_it_knows_whether_it_was_a_kill_that_it_came_back_from(
    client: Client, server: Server, figures: Figures, why: str
) -> None:
    def shows(_: Server, writer: asyncio.StreamWriter) -> None:
        show(writer)

    def resumes(_: Server, writer: asyncio.StreamWriter) -> None:
        resume(writer, seq=5, replayed=0)

    server.script = [shows, resumes]
    node = client._fleet.nodes[0]
    node.lost_at = asyncio.get_running_loop().time()
    client.begin()
    await until(lambda: client.connected)
    if why == "kill":
        node.lost_at = asyncio.get_running_loop().time()
    assert client.wire
    client.wire.drop()
    await until(lambda: client.hearing.resumed)
    assert list(figures.backs) == [why]


@a_client
async def test_where_nobody_is_it_asks_at_the_next_door(
    client: Client, server: Server, figures: Figures
) -> None:
    server.script = [lambda _, writer: show(writer)]
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = SimpleNamespace(port=closed.getsockname()[1], lost_at=0.0)
        client._fleet.nodes.insert(0, nowhere)
        client.begin()
        await until(lambda: client.connected)
    assert client.node is client._fleet.nodes[1]
    assert figures.reconnects == 0


def test_pauses_grow_within_bounds(client: Client) -> None:
    rows: list[list[float]] = []
    for _ in range(200):
        client._failures = 0
        rows.append([client._pause() for _ in range(12)])
    longest = [max(column) for column in zip(*rows, strict=True)]
    assert min(map(min, rows)) >= SHORTEST_WAIT
    assert max(longest) <= LONGEST_WAIT
    assert longest[0] <= 0.5 < longest[3]
    assert longest[-1] > 10
