"""Requests to a service: what is sent, repeated, refused and logged, and on which connection."""

import asyncio
from functools import partial

import pytest
from structlog.testing import capture_logs
from tornado.iostream import StreamClosedError
from tornado.tcpserver import TCPServer
from tornado.testing import bind_unused_port

from devtools.simulator.wire import SimulatorReply
from tencent import service_client as module
from tencent.errors import ServiceUnavailable

SUCCESS = SimulatorReply(200, {"X-Word": "hello"}, b"fine")
BROKEN = SimulatorReply(502, {}, b"bad gateway")


@pytest.fixture
def client_at(make_service_client):
    return partial(make_service_client, "im")


# ---- one request


async def test_a_request_is_sent_as_it_is_and_its_answer_returned_raw(scripted):
    redirect = {"X-Word": "hello", "Location": "/elsewhere"}
    client, service = scripted(SimulatorReply(302, redirect, b"\x00\xff"))
    headers = {"X-Ours": "1", "Content-Type": "text/x"}
    answer = await client.request("GET", "/a/b", {"q": "x&=* é"}, headers=headers)
    assert (answer.status, answer.body) == (302, b"\x00\xff")
    assert answer.headers["x-word"] == "hello"
    await client.request("POST", "/a", {}, '{"a":  1}', headers)
    get, post = service.requests
    assert (get.method, get.path, get.query["q"]) == ("GET", "/a/b", "x&=* é")
    assert get.header("x-ours") == "1"
    assert (post.method, post.body) == ("POST", b'{"a":  1}')
    assert post.header("Content-Type") == "text/x"


async def test_error_of_the_server_is_unavailable_and_logged_without_secrets(scripted):
    client, service = scripted(BROKEN)
    headers = {"Authorization": "hush"}
    with capture_logs() as logs:
        with pytest.raises(ServiceUnavailable) as failure:
            await client.request("POST", "/a", {"usersig": "hush"}, "hush", headers)
        with pytest.raises(ServiceUnavailable):
            await client.request("GET", "/bill?signature=hush")
    assert failure.value.code == "im_away"
    assert len(service.requests) == 2
    assert [entry["why"] for entry in logs if "why" in entry] == ["HTTP 502"] * 2
    assert "hush" not in repr(logs)


async def test_a_failed_request_is_repeated_once_where_that_is_safe(scripted):
    client, service = scripted(BROKEN, SUCCESS)
    answer = await client.request("POST", "/a", {}, "{}", safe_to_repeat=True)
    assert answer.body == b"fine"
    client, service = scripted(BROKEN, BROKEN, SUCCESS)
    with pytest.raises(ServiceUnavailable):
        await client.request("GET", "/a", safe_to_repeat=True)
    assert len(service.requests) == 2


# ---- state


async def test_state_follows_the_last_call_and_is_fresh_for_a_while(scripted, monkeypatch):
    client, _ = scripted(SUCCESS, BROKEN, SimulatorReply(404, {}, b""))
    assert (client.state, client.latency_ms, client.is_fresh) == ("unknown", None, False)
    changes = [client.since]
    await client.request("GET", "/a")
    assert (client.state, client.is_fresh) == ("ok", True)
    assert client.latency_ms > 0
    changes.append(client.since)
    with monkeypatch.context() as later:
        later.setattr(module, "FRESH_SECONDS", 0.0)
        assert (client.state, client.is_fresh) == ("ok", False)
    with pytest.raises(ServiceUnavailable):
        await client.request("GET", "/a")
    assert (client.state, client.is_fresh) == ("down", True)
    changes.append(client.since)
    await client.request("GET", "/a")
    assert client.state == "ok"
    changes.append(client.since)
    await client.request("GET", "/a")
    assert client.since == changes[-1]
    assert changes == sorted({*changes})


async def test_full_queue_is_refused_at_once_and_leaves_the_state_unknown(
    serve, make_service_client, monkeypatch
):
    monkeypatch.setattr(module, "MAX_CLIENTS", 1)
    monkeypatch.setattr(module, "MAX_QUEUED", 0)
    received, release = asyncio.Event(), asyncio.Event()

    async def slow(_request):
        received.set()
        await release.wait()
        return SUCCESS

    client = make_service_client("im", serve(slow))
    first = asyncio.ensure_future(client.request("GET", "/a"))
    await received.wait()
    with pytest.raises(ServiceUnavailable):
        await client.request("GET", "/a")
    assert client.state == "unknown"
    release.set()
    assert (await first).body == b"fine"
    assert (await client.request("GET", "/a")).body == b"fine"


# ---- connections

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


class LineServer(TCPServer):
    """Answers each request with its target, after `answering` is set; counts connections."""

    def __init__(self) -> None:
        super().__init__()
        self.streams = []
        self.requests = []
        self.answering = asyncio.Event()
        self.answering.set()
        self.received = asyncio.Condition()

    async def handle_stream(self, stream, _address):
        self.streams.append(stream)
        try:
            while True:
                self.requests.append(await stream.read_until(b"\r\n\r\n"))
                async with self.received:
                    self.received.notify_all()
                await self.answering.wait()
                await stream.write(OK + self.requests[-1].split()[1])
        except StreamClosedError:
            pass

    async def wait_for_requests(self, count):
        async with self.received:
            await self.received.wait_for(lambda: len(self.requests) >= count)

    def close_all(self):
        for stream in self.streams:
            stream.close()


@pytest.fixture
def server(io_loop):
    server = LineServer()
    listener, server.port = bind_unused_port()
    server.add_socket(listener)
    yield server
    server.stop()
    server.close_all()
    io_loop.run_sync(lambda: asyncio.sleep(0))


@pytest.fixture
def client(server, make_service_client):
    return make_service_client("im", f"http://127.0.0.1:{server.port}", timeout=60)


async def body_of(client, target, *, safe_to_repeat=True):
    return (await client.request("POST", target, safe_to_repeat=safe_to_repeat)).body.decode()


async def test_requests_in_turn_share_a_connection_and_those_at_once_have_one_each(server, client):
    assert [await body_of(client, target) for target in ("/1", "/2", "/3")] == ["/1", "/2", "/3"]
    assert len(server.streams) == 1
    server.answering.clear()
    requests = asyncio.gather(*(body_of(client, "/4") for _ in range(4)))
    await server.wait_for_requests(7)
    server.answering.set()
    assert await requests == ["/4"] * 4
    assert len(server.streams) == 4


async def test_a_service_that_closes_the_connection_meanwhile_gets_the_request_again(
    server, client
):
    await body_of(client, "/1")
    server.answering.clear()
    request = asyncio.ensure_future(body_of(client, "/2"))
    await server.wait_for_requests(2)
    server.close_all()
    server.answering.set()
    with capture_logs() as logs:
        assert await request == "/2"
    assert (len(server.requests), client.state) == (3, "ok")
    assert logs == []  # one attempt, which has not failed


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_that_must_not_be_repeated_is_sent_once_on_its_own_connection(
    server, client, method
):
    await client.request(method, "/1")
    assert b"Connection: close" in server.requests[0]
    server.answering.clear()
    request = asyncio.ensure_future(client.request(method, "/2"))
    await server.wait_for_requests(2)
    server.close_all()
    server.answering.set()
    with pytest.raises(ServiceUnavailable):
        await request
    assert (len(server.requests), len(server.streams)) == (2, 2)


async def test_a_silent_service_too_long_a_body_and_a_refused_connection_are_unavailable(
    server, client, make_service_client
):
    impatient = make_service_client("im", f"http://127.0.0.1:{server.port}", timeout=0.1)
    server.answering.clear()
    with pytest.raises(ServiceUnavailable):
        await impatient.request("GET", "/1")
    server.answering.set()
    small = make_service_client("im", f"http://127.0.0.1:{server.port}", max_bytes=1)
    with pytest.raises(ServiceUnavailable):
        await small.request("GET", "/1")
    server.stop()
    with pytest.raises(ServiceUnavailable):
        await client.request("GET", "/1")
