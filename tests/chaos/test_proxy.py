import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from tornado.ioloop import IOLoop

from chaos.proxy import Proxy
from tests.support.stub_server import StubServer
from tests.support.waiting import until

WAIT = 10.0
QUIET = 0.3


class EchoServer(StubServer):
    """Sends back what it receives, and records it."""

    def __init__(self) -> None:
        super().__init__()
        self.received = b""
        self.ended = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                self.received += data
                writer.write(data)
        except ConnectionError:
            pass
        self.ended += 1


@pytest.fixture
def echo(io_loop: IOLoop) -> Iterator[EchoServer]:
    echo = EchoServer()
    io_loop.run_sync(echo.start)
    yield echo
    io_loop.run_sync(echo.stop)


@pytest.fixture
def proxy(io_loop: IOLoop, echo: EchoServer) -> Iterator[Proxy]:
    proxy = Proxy(echo.port)
    io_loop.run_sync(proxy.start)
    yield proxy
    io_loop.run_sync(proxy.stop)


@asynccontextmanager
async def connect(
    proxy: Proxy,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


async def receive(reader: asyncio.StreamReader, size: int) -> bytes:
    return await asyncio.wait_for(reader.readexactly(size), WAIT)


async def is_silent(reader: asyncio.StreamReader) -> bool:
    """Whether neither data nor EOF arrives."""
    try:
        await asyncio.wait_for(reader.read(1), QUIET)
    except TimeoutError:
        return True
    return False


async def is_reset(reader: asyncio.StreamReader) -> bool:
    try:
        await asyncio.wait_for(reader.read(), WAIT)
    except ConnectionResetError:
        return True
    return False


async def test_without_faults_data_and_eof_pass_in_both_directions(
    proxy: Proxy, echo: EchoServer
) -> None:
    data = bytes(range(256)) * 20_000
    async with connect(proxy) as (reader, writer):
        writer.write(data)
        assert await receive(reader, len(data)) == data
        writer.close()
        await until(lambda: echo.ended == 1)
    await until(lambda: not proxy.connections)


async def test_a_reset_reaches_both_sides(proxy: Proxy, echo: EchoServer) -> None:
    async with connect(proxy) as (reader, writer):
        writer.write(b"x")
        await receive(reader, 1)
        proxy.reset_all()
        assert await is_reset(reader)
        await until(lambda: echo.ended == 1)
    async with connect(proxy) as (reader, writer):  # the next connection works
        writer.write(b"y")
        assert await receive(reader, 1) == b"y"


async def test_a_half_open_connection_stays_open_and_silent_after_heal(
    proxy: Proxy, echo: EchoServer
) -> None:
    async with connect(proxy) as (reader, writer):
        writer.write(b"x")
        await receive(reader, 1)
        proxy.half_open()
        writer.write(b"lost")
        assert await is_silent(reader)
        await proxy.heal()
        writer.write(b"lost, too")
        assert await is_silent(reader)
        writer.close()
        await asyncio.sleep(QUIET)
    assert echo.received == b"x"
    assert echo.ended == 0, "the server receives no EOF"
    async with connect(proxy) as (reader, writer):
        writer.write(b"y")
        assert await receive(reader, 1) == b"y"


async def test_a_connection_made_while_half_open_does_not_reach_the_server(
    proxy: Proxy, echo: EchoServer
) -> None:
    proxy.half_open()
    async with connect(proxy) as (reader, writer):
        writer.write(b"x")
        assert await is_silent(reader)
    assert echo.received == b""


async def test_slow_data_arrives_late_and_in_order(proxy: Proxy) -> None:
    async with connect(proxy) as (reader, writer):
        writer.write(b"x")
        await receive(reader, 1)
        proxy.slow(0.2)
        started = time.monotonic()
        for letter in (b"a", b"b", b"c"):
            writer.write(letter)
            await asyncio.sleep(0.01)
        assert await receive(reader, 3) == b"abc"
        assert time.monotonic() - started >= 0.2


async def test_held_data_arrives_after_heal(proxy: Proxy) -> None:
    async with connect(proxy) as (reader, writer):
        proxy.hold()
        writer.write(b"x")
        assert await is_silent(reader)
        await proxy.heal()
        assert await receive(reader, 1) == b"x"


async def test_a_lossy_network_resets_whole_connections(proxy: Proxy) -> None:
    proxy.lossy(1.0)
    async with connect(proxy) as (reader, writer):
        writer.write(b"x")
        assert await is_reset(reader)


async def test_refusing_connections_keeps_open_ones_and_the_port(proxy: Proxy) -> None:
    async with connect(proxy) as (reader, writer):
        writer.write(b"x")
        await receive(reader, 1)
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"y")
        assert await receive(reader, 1) == b"y"
    with pytest.raises(OSError, match="in use"):  # the port stays reserved
        socket.create_server(("127.0.0.1", proxy.port)).close()
    await proxy.accept()
    async with connect(proxy) as (reader, writer):
        writer.write(b"z")
        assert await receive(reader, 1) == b"z"


async def test_a_connection_is_reset_if_the_target_does_not_listen(
    proxy: Proxy, echo: EchoServer
) -> None:
    await echo.stop()
    async with connect(proxy) as (reader, _writer):
        assert await is_reset(reader)
    await until(lambda: not proxy.connections)
    await echo.start()
