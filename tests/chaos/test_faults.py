"""Faults of a network, and programs that are restarted."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from tornado.ioloop import IOLoop

from chaos.program import STOP_SECONDS, Program
from chaos.proxy import Proxy
from tests.support.waiting import until

WAIT = 60.0
QUIET = 0.2


class EchoServer:
    """Sends back what it receives, and records it."""

    def __init__(self) -> None:
        self.received = b""
        self.ended = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                self.received += data
                writer.write(data)
        writer.close()
        self.ended += 1


@pytest.fixture
def echo() -> EchoServer:
    return EchoServer()


@pytest.fixture
def proxy(io_loop: IOLoop, echo: EchoServer) -> Iterator[Proxy]:
    server = io_loop.run_sync(lambda: asyncio.start_server(echo.serve, "127.0.0.1", 0))
    proxy = Proxy(server.sockets[0].getsockname()[1])
    io_loop.run_sync(proxy.accept)
    yield proxy
    io_loop.run_sync(proxy.stop)
    server.close()
    io_loop.run_sync(server.wait_closed)


class Connection:
    """A client's connection through the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def echoes(self, data: bytes) -> bool:
        self.writer.write(data)
        return await asyncio.wait_for(self.reader.readexactly(len(data)), WAIT) == data

    async def is_silent(self) -> bool:
        """Whether neither data nor EOF arrives."""
        try:
            await asyncio.wait_for(self.reader.read(1), QUIET)
        except TimeoutError:
            return True
        return False

    async def is_reset(self) -> bool:
        try:
            await asyncio.wait_for(self.reader.read(), WAIT)
        except ConnectionResetError:
            return True
        return False


@asynccontextmanager
async def connect(proxy: Proxy) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield Connection(reader, writer)
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


async def test_data_and_eof_pass_in_both_directions_until_a_reset_which_reaches_both_sides(
    proxy: Proxy, echo: EchoServer
) -> None:
    async with connect(proxy) as connection:
        assert await connection.echoes(bytes(range(256)) * 20_000)
        connection.writer.close()
        await until(lambda: echo.ended == 1)
    async with connect(proxy) as connection:
        assert await connection.echoes(b"x")
        proxy.reset_all()
        assert await connection.is_reset()
        await until(lambda: echo.ended == 2)
        proxy.reset_probability = 1.0
    async with connect(proxy) as connection:
        connection.writer.write(b"y")
        assert await connection.is_reset()
    await until(lambda: not proxy.connections)


async def test_a_half_open_connection_stays_open_and_silent_and_a_new_one_reaches_no_server(
    proxy: Proxy, echo: EchoServer
) -> None:
    async with connect(proxy) as connection:
        assert await connection.echoes(b"x")
        proxy.is_half_open = True
        connection.writer.write(b"lost")
        async with connect(proxy) as made_meanwhile:
            made_meanwhile.writer.write(b"x")
            assert await made_meanwhile.is_silent()
        await proxy.heal()
        connection.writer.write(b"lost, too")
        assert await connection.is_silent()
    async with connect(proxy) as connection:
        assert await connection.echoes(b"y")
        assert echo.ended == 0, "the server receives no EOF of the first connection"
    assert echo.received == b"xy"


async def test_slow_data_arrives_late_and_in_order_and_held_data_after_heal(proxy: Proxy) -> None:
    loop = asyncio.get_running_loop()
    async with connect(proxy) as connection:
        assert await connection.echoes(b"x")
        proxy.delay = 0.2
        started = loop.time()
        for letter in (b"a", b"b", b"c"):
            connection.writer.write(letter)
            await asyncio.sleep(0.01)
        assert await connection.reader.readexactly(3) == b"abc"
        assert loop.time() - started >= 0.2
    await proxy.heal()
    async with connect(proxy) as connection:
        proxy.is_held = True
        connection.writer.write(b"x")
        assert await connection.is_silent()
        await proxy.heal()
        assert await connection.reader.readexactly(1) == b"x"


async def test_refusing_connections_keeps_open_ones(proxy: Proxy) -> None:
    async with connect(proxy) as connection:
        assert await connection.echoes(b"x")
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await connection.echoes(b"y")
    await proxy.accept()
    async with connect(proxy) as connection:
        assert await connection.echoes(b"z")


# ---- programs, each a line of shell

WAIT_FOREVER = "while :; do sleep 0.05; done"


def shell(script: str, folder: Path, stop_seconds: float = STOP_SECONDS) -> Program:
    command = ["sh", "-c", f"cd {folder}; {script}"]
    return Program(command, folder / "log", ready_marker=b"ready", stop_seconds=stop_seconds)


@pytest.mark.parametrize(
    ("script", "bad_exits"),
    [
        ("echo ready; exit 3", {("unexpected_exit", "exit status 3")}),
        ("exit 1", set()),  # before it is ready
    ],
)
async def test_a_program_that_ends_is_restarted_and_its_exit_recorded(
    tmp_path: Path, script: str, bad_exits: set[tuple[str, str]]
) -> None:
    (tmp_path / "log").write_text("ready, in an earlier run\n")
    program = shell(script, tmp_path)
    program.start()
    await until(lambda: program.starts == 2)
    await program.stop()
    assert set(program.bad_exits) == bad_exits


async def test_a_requested_kill_does_not_excuse_the_next_exit(tmp_path: Path) -> None:
    program = shell(f"echo ready; test -e again && exit 3; touch again; {WAIT_FOREVER}", tmp_path)
    program.start()
    await until((tmp_path / "again").exists)
    program.hold_down()
    program.release()
    await until(lambda: program.starts == 3)
    await program.stop()
    assert set(program.bad_exits) == {("unexpected_exit", "exit status 3")}


@pytest.mark.parametrize(
    ("at_sigterm", "seconds", "bad_exits"),
    [
        ("exit 0", 40.0, []),
        ("exit 1", 40.0, [("drain_failed", "exit status 1")]),
        ("", 0.1, [("drain_timeout", "no exit within 0.1 s")]),
    ],
)
async def test_a_requested_exit_must_come_in_time_and_with_status_zero(
    tmp_path: Path, at_sigterm: str, seconds: float, bad_exits: list[tuple[str, str]]
) -> None:
    program = shell(f"trap '{at_sigterm}' TERM; echo ready; {WAIT_FOREVER}", tmp_path, seconds)
    program.start()
    await until(lambda: program.log.exists() and b"ready" in program.log.read_bytes())
    await program.restart()
    await until(lambda: program.starts == 2)
    assert program.bad_exits == bad_exits
    await program.stop()
