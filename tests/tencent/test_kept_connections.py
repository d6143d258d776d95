"""Connections that are kept open: reuse, loss, and limits."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs
from tornado.ioloop import IOLoop
from tornado.iostream import IOStream, StreamClosedError
from tornado.tcpserver import TCPServer
from tornado.testing import bind_unused_port

from tencent import service_client as module
from tencent.errors import ServiceUnavailable
from tencent.service_client import ServiceClient

gen_test = pytest.mark.gen_test(timeout=20)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


class LineServer(TCPServer):
    """Answers each request with its target, after `answering` is set; counts connections."""

    def __init__(self) -> None:
        super().__init__()
        self.port = 0
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
    listener, server.port = bind_unused_port()
    server.add_socket(listener)
    yield server
    server.stop()
    server.close_all()
    io_loop.run_sync(lambda: asyncio.sleep(0))


@pytest.fixture
def client(server: LineServer, make_service_client: Any) -> ServiceClient:
    client: ServiceClient = make_service_client("im", f"http://127.0.0.1:{server.port}", timeout=60)
    return client


async def body_of(client: ServiceClient, target: str, *, safe_to_repeat: bool = True) -> str:
    return (await client.request("POST", target, safe_to_repeat=safe_to_repeat)).body.decode()


@gen_test
async def test_requests_in_turn_share_a_connection(server, client) -> None:
    assert [await body_of(client, target) for target in ("/1", "/2", "/3")] == ["/1", "/2", "/3"]
    assert len(server.streams) == 1


@gen_test
async def test_requests_that_must_not_be_repeated_have_a_connection_each(server, client) -> None:
    for target in ("/1", "/2"):
        assert await body_of(client, target, safe_to_repeat=False) == target
    assert len(server.streams) == 2
    assert all(b"Connection: close" in request for request in server.requests)


@gen_test
async def test_requests_at_once_have_a_connection_each(server, client) -> None:
    for _ in range(2):
        bodies = await asyncio.gather(*(body_of(client, f"/{n}") for n in range(4)))
        assert bodies == ["/0", "/1", "/2", "/3"]
    assert len(server.streams) == 4


@gen_test
async def test_a_request_on_a_closed_connection_is_sent_on_a_new_one(server, client) -> None:
    await body_of(client, "/1")
    server.close_all()  # the client has not noticed yet
    with capture_logs() as logs:
        assert await body_of(client, "/2") == "/2"
    assert (len(server.streams), logs) == (2, [])
    assert client.state == "ok"


@gen_test
async def test_a_service_that_closes_the_connection_meanwhile_gets_the_request_again(
    server, client
) -> None:
    await body_of(client, "/1")
    server.answering.clear()
    request = asyncio.ensure_future(body_of(client, "/2"))
    while len(server.requests) < 2:
        await asyncio.sleep(0.001)
    server.close_all()
    server.answering.set()
    with capture_logs() as logs:
        assert await request == "/2"
    assert (len(server.requests), client.state) == (3, "ok")
    assert logs == []  # one attempt, which has not failed


@gen_test
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_that_must_not_be_repeated_is_sent_once(server, client, method) -> None:
    server.answering.clear()
    request = asyncio.ensure_future(client.request(method, "/1"))
    while not server.requests:
        await asyncio.sleep(0.001)
    server.close_all()
    server.answering.set()
    with pytest.raises(ServiceUnavailable):
        await request
    assert len(server.requests) == 1


@gen_test
async def test_a_service_that_closes_every_connection_is_unavailable(server, client) -> None:
    await body_of(client, "/1")
    server.answering.clear()
    request = asyncio.ensure_future(body_of(client, "/2"))
    while not request.done():
        server.close_all()
        await asyncio.sleep(0.001)
    with pytest.raises(ServiceUnavailable):
        await request


@gen_test
async def test_a_connection_that_the_service_ends_is_not_used_again(server, client) -> None:
    server.headers = OK.replace(b"OK\r\n", b"OK\r\nConnection: Close\r\n")
    assert [await body_of(client, target) for target in ("/1", "/2")] == ["/1", "/2"]
    assert len(server.streams) == 2


@gen_test
async def test_a_cancelled_request_takes_its_connection_with_it(server, client) -> None:
    await body_of(client, "/1")
    server.answering.clear()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(body_of(client, "/2"), 0.05)
    server.answering.set()
    assert await body_of(client, "/3") == "/3"
    assert len(server.streams) == 2


@gen_test
async def test_too_long_a_body_is_unavailable(server, client, monkeypatch) -> None:
    monkeypatch.setattr(module, "MAX_BODY_BYTES", 1)
    with pytest.raises(ServiceUnavailable):
        await body_of(client, "/1")
