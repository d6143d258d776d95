import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from tornado.ioloop import IOLoop

from chaos.proxy import DOWN, UP, Proxy

WAIT = 10.0
QUIET = 0.3
a_bad_network = pytest.mark.gen_test(timeout=30)


class Echo:
    """Answers with what it is told, and remembers it."""

    def __init__(self) -> None:
        self.heard = b""
        self.ends = 0
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
            writer.close()
        await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            while data := await reader.read(65_536):
                self.heard += data
                writer.write(data)
        except ConnectionError:
            pass
        self.ends += 1


@pytest.fixture
def echo(io_loop: IOLoop) -> Iterator[Echo]:
    echo = Echo()
    io_loop.run_sync(echo.start)
    yield echo
    io_loop.run_sync(echo.stop)


@pytest.fixture
def proxy(io_loop: IOLoop, echo: Echo) -> Iterator[Proxy]:
    proxy = Proxy(echo.port)
    io_loop.run_sync(proxy.start)
    yield proxy
    io_loop.run_sync(proxy.stop)


@asynccontextmanager
async def caller(
    proxy: Proxy,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


async def said(reader: asyncio.StreamReader, size: int) -> bytes:
    return await asyncio.wait_for(reader.readexactly(size), WAIT)


async def silent(reader: asyncio.StreamReader) -> bool:
    """Whether nothing comes, not even an end."""
    try:
        await asyncio.wait_for(reader.read(1), QUIET)
    except TimeoutError:
        return True
    return False


async def reset(reader: asyncio.StreamReader) -> bool:
    try:
        await asyncio.wait_for(reader.read(), WAIT)
    except ConnectionResetError:
        return True
    return False


@a_bad_network
async def test_in_fine_weather_everything_passes_both_ways_and_so_does_the_end(
    proxy: Proxy, echo: Echo
) -> None:
    much = bytes(range(256)) * 20_000
    async with caller(proxy) as (reader, writer):
        writer.write(much)
        assert await said(reader, len(much)) == much
        writer.close()
        await until(lambda: echo.ends == 1)
    await until(lambda: not proxy.links)


@a_bad_network
async def test_a_reset_is_seen_as_one_on_both_sides(proxy: Proxy, echo: Echo) -> None:
    async with caller(proxy) as (reader, writer):
        writer.write(b"x")
        await said(reader, 1)
        assert proxy.reset_all() == 1
        assert await reset(reader)
        await until(lambda: echo.ends == 1)
    async with caller(proxy) as (reader, writer):  # and the next one is fine
        writer.write(b"y")
        assert await said(reader, 1) == b"y"


@a_bad_network
async def test_a_half_open_connection_stays_and_says_nothing_ever_again(
    proxy: Proxy, echo: Echo
) -> None:
    async with caller(proxy) as (reader, writer):
        writer.write(b"x")
        await said(reader, 1)
        proxy.half_open()
        writer.write(b"lost")
        assert await silent(reader)
        await proxy.heal()
        writer.write(b"lost, too")
        assert await silent(reader)
        writer.close()
        await asyncio.sleep(QUIET)
    assert echo.heard == b"x"
    assert echo.ends == 0, "the other side is never told"
    async with caller(proxy) as (reader, writer):
        writer.write(b"y")
        assert await said(reader, 1) == b"y"


@a_bad_network
async def test_a_connection_made_in_a_half_open_network_reaches_nobody(
    proxy: Proxy, echo: Echo
) -> None:
    proxy.half_open()
    async with caller(proxy) as (reader, writer):
        writer.write(b"x")
        assert await silent(reader)
    assert echo.heard == b""


@a_bad_network
async def test_a_direction_can_be_lost_alone(proxy: Proxy, echo: Echo) -> None:
    async with caller(proxy) as (reader, writer):
        proxy.half_open([DOWN])
        writer.write(b"x")
        assert await silent(reader)
        assert echo.heard == b"x"


@a_bad_network
async def test_what_is_slow_comes_late_and_in_order(proxy: Proxy) -> None:
    async with caller(proxy) as (reader, writer):
        writer.write(b"x")
        await said(reader, 1)
        proxy.slow(0.2, [UP])
        began = time.monotonic()
        for letter in (b"a", b"b", b"c"):
            writer.write(letter)
            await asyncio.sleep(0.01)
        assert await said(reader, 3) == b"abc"
        assert time.monotonic() - began >= 0.2


@a_bad_network
async def test_what_is_held_comes_when_the_weather_clears(proxy: Proxy) -> None:
    async with caller(proxy) as (reader, writer):
        proxy.hold()
        writer.write(b"x")
        assert await silent(reader)
        await proxy.heal()
        assert await said(reader, 1) == b"x"


@a_bad_network
async def test_a_lossy_network_resets_whole_connections(proxy: Proxy) -> None:
    proxy.lossy(1.0, [UP])
    async with caller(proxy) as (reader, writer):
        writer.write(b"x")
        assert await reset(reader)


@a_bad_network
async def test_who_is_refused_is_refused_and_who_is_in_stays(proxy: Proxy) -> None:
    async with caller(proxy) as (reader, writer):
        writer.write(b"x")
        await said(reader, 1)
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"y")
        assert await said(reader, 1) == b"y"
    with pytest.raises(OSError, match="in use"):  # nobody else gets the port meanwhile
        socket.create_server(("127.0.0.1", proxy.port)).close()
    await proxy.let_in()
    async with caller(proxy) as (reader, writer):
        writer.write(b"z")
        assert await said(reader, 1) == b"z"


@a_bad_network
async def test_where_nobody_listens_behind_it_a_caller_is_sent_away(
    proxy: Proxy, echo: Echo
) -> None:
    await echo.stop()
    async with caller(proxy) as (reader, _writer):
        assert await reset(reader)
    await until(lambda: not proxy.links)
    await echo.start()


async def until(done: object) -> None:
    assert callable(done)
    async with asyncio.timeout(WAIT):
        while not done():
            await asyncio.sleep(0.01)
