"""Connections that are kept open: reuse, loss, and limits."""

import asyncio
from collections.abc import Callable, Iterator

import pytest
from tornado.ioloop import IOLoop
from tornado.iostream import IOStream, StreamClosedError
from tornado.tcpserver import TCPServer
from tornado.testing import bind_unused_port

from tencent import connections as module
from tencent.connections import KeptConnections

gen_test = pytest.mark.gen_test(timeout=20)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


class LineServer(TCPServer):
    """Answers each request with its target, after `answering` is set; counts connections."""

    def __init__(self) -> None:
        super().__init__()
        self.streams: list[IOStream] = []
        self.requests: list[bytes] = []
        self.headers = OK
        self.answering = asyncio.Event()
        self.answering.set()

    async def handle_stream(self, stream: IOStream, _address: object) -> None:
        self.streams.append(stream)
        try:
            while True:
                self.requests.append(await stream.read_until(b"\r\n\r\n"))
                target = self.requests[-1].split()[1]
                await self.answering.wait()
                await stream.write(self.headers + target)
        except StreamClosedError:
            pass

    def close_all(self) -> None:
        for stream in self.streams:
            stream.close()


@pytest.fixture
def server(io_loop: IOLoop) -> Iterator[LineServer]:
    server = LineServer()
    yield server
    server.stop()
    server.close_all()
    io_loop.run_sync(lambda: asyncio.sleep(0))


@pytest.fixture
def connect(io_loop: IOLoop, server: LineServer) -> Iterator[Callable[..., KeptConnections]]:
    """Creates clients of `server` that are closed after the test."""
    listener, port = bind_unused_port()
    server.add_socket(listener)
    clients: list[KeptConnections] = []

    def build(max_connections: int = 10) -> KeptConnections:
        clients.append(KeptConnections(f"http://127.0.0.1:{port}", max_connections, 1024))
        return clients[-1]

    yield build
    for client in clients:
        client.close()


async def body_of(client: KeptConnections, target: str) -> str:
    return (await client.fetch("GET", target, {}, None)).body.decode()


@gen_test
async def test_requests_in_turn_share_a_connection(server, connect) -> None:
    client = connect()
    assert [await body_of(client, target) for target in ("/1", "/2", "/3")] == ["/1", "/2", "/3"]
    assert len(server.streams) == 1


@gen_test
async def test_requests_at_once_have_a_connection_each(server, connect) -> None:
    client = connect()
    for _ in range(2):
        bodies = await asyncio.gather(*(body_of(client, f"/{n}") for n in range(4)))
        assert bodies == ["/0", "/1", "/2", "/3"]
    assert len(server.streams) == 4


@gen_test
async def test_a_request_on_a_closed_connection_is_sent_on_a_new_one(server, connect) -> None:
    client = connect()
    await body_of(client, "/1")
    server.close_all()  # the client has not noticed yet
    assert await body_of(client, "/2") == "/2"
    assert len(server.streams) == 2


@gen_test
async def test_a_service_that_closes_every_connection_is_an_error(server, connect) -> None:
    client = connect()
    await body_of(client, "/1")
    server.headers = b""
    server.answering.clear()
    request = asyncio.ensure_future(body_of(client, "/2"))
    while not request.done():
        server.close_all()
        await asyncio.sleep(0.001)
    with pytest.raises(StreamClosedError):
        await request
    assert len(server.streams) == 2


@gen_test
async def test_a_connection_that_the_service_ends_is_not_used_again(server, connect) -> None:
    client = connect()
    server.headers = OK.replace(b"OK\r\n", b"OK\r\nConnection: Close\r\n")
    assert [await body_of(client, target) for target in ("/1", "/2")] == ["/1", "/2"]
    assert len(server.streams) == 2


@gen_test
async def test_a_cancelled_request_takes_its_connection_with_it(server, connect) -> None:
    client = connect()
    await body_of(client, "/1")
    server.answering.clear()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(body_of(client, "/2"), 0.05)
    server.answering.set()
    assert await body_of(client, "/3") == "/3"
    assert len(server.streams) == 2


@gen_test
async def test_a_connection_that_was_idle_for_long_is_closed(
    server, connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect()
    await asyncio.gather(body_of(client, "/1"), body_of(client, "/2"))
    monkeypatch.setattr(module, "IDLE_SECONDS", -1.0)
    await body_of(client, "/3")
    assert len(server.streams) == 3
    with pytest.raises(StreamClosedError):
        await server.streams[0].read_bytes(1)


@gen_test
async def test_requests_wait_for_a_connection(server, connect) -> None:
    client = connect(max_connections=1)
    assert await asyncio.gather(*(body_of(client, f"/{n}") for n in range(3))) == ["/0", "/1", "/2"]
    assert len(server.streams) == 1


@gen_test
async def test_too_long_a_body_is_an_error(server, connect) -> None:
    server.headers = OK.replace(b"2\r\n", b"2000\r\n")
    with pytest.raises(StreamClosedError):
        await body_of(connect(), "/1")
