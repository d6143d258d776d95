import asyncio
import socket

import pytest
from structlog.testing import capture_logs
from tornado.iostream import IOStream
from tornado.tcpserver import TCPServer
from tornado.testing import bind_unused_port

from devtools.simulator.wire import SimulatorReply, SimulatorRequest
from tencent import service_client as module
from tencent.errors import ServiceUnavailable

async_test = pytest.mark.gen_test(timeout=20)

SUCCESS = SimulatorReply(200, {"X-Word": "hello"}, b"fine")
BROKEN = SimulatorReply(502, {}, b"bad gateway")


@async_test
async def test_get_returns_status_headers_and_raw_body(
    serve, make_service_client, scripted_service
):
    service = scripted_service(SimulatorReply(404, {"X-Word": "hello"}, b"\x00\xff"))
    answer = await make_service_client("im", serve(service)).request(
        "GET", "/a/b", {"q": "x&=* é"}, headers={"X-Ours": "1"}
    )
    assert (answer.status, answer.body) == (404, b"\x00\xff")
    assert answer.headers["x-word"] == "hello"
    request = service.requests[0]
    assert (request.method, request.path, request.query["q"]) == ("GET", "/a/b", "x&=* é")
    assert request.header("x-ours") == "1"


@async_test
async def test_post_sends_its_bytes_unchanged(serve, make_service_client, scripted_service):
    service = scripted_service(SUCCESS)
    await make_service_client("im", serve(service)).request(
        "POST", "/a", {}, b'{"a":  1}', {"Content-Type": "text/x"}
    )
    assert service.requests[0].method == "POST"
    assert service.requests[0].body == b'{"a":  1}'
    assert service.requests[0].header("Content-Type") == "text/x"


@async_test
@pytest.mark.parametrize("status", [500, 502, 503])
async def test_server_error_is_unavailable(serve, make_service_client, scripted_service, status):
    service = scripted_service(SimulatorReply(status, {}, b""))
    with pytest.raises(ServiceUnavailable) as failure:
        await make_service_client("pay", serve(service)).request("GET", "/a")
    assert failure.value.code == "pay_away"
    assert len(service.requests) == 1


@async_test
async def test_refused_connection_is_unavailable(make_service_client):
    listener, port = bind_unused_port()
    listener.close()
    with pytest.raises(ServiceUnavailable):
        await make_service_client("im", f"http://127.0.0.1:{port}").request("GET", "/a")


@async_test
async def test_unresolvable_host_name_is_unavailable(make_service_client, monkeypatch):
    def no_such_name(*_args, **_named):
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    with pytest.raises(ServiceUnavailable):
        await make_service_client("im", "http://im.invalid").request("GET", "/a")


@async_test
async def test_silent_service_is_unavailable_after_the_timeout(serve, make_service_client):
    release = asyncio.Event()

    async def silent(_request: SimulatorRequest) -> SimulatorReply:
        await release.wait()
        return SUCCESS

    try:
        with pytest.raises(ServiceUnavailable):
            await make_service_client("im", serve(silent), timeout=0.1).request("GET", "/a")
    finally:
        release.set()


class SshServer(TCPServer):
    async def handle_stream(self, stream: IOStream, _address: object) -> None:
        await stream.write(b"SSH-2.0-not-http\r\n\r\n")
        stream.close()


@async_test
async def test_answer_that_is_not_http_is_unavailable(make_service_client):
    listener, port = bind_unused_port()
    server = SshServer()
    server.add_socket(listener)
    with pytest.raises(ServiceUnavailable):
        await make_service_client("im", f"http://127.0.0.1:{port}").request("GET", "/a")
    server.stop()


@async_test
async def test_post_is_repeated_only_when_marked_safe(serve, make_service_client, scripted_service):
    unsafe, safe = scripted_service(BROKEN, SUCCESS), scripted_service(BROKEN, SUCCESS)
    with pytest.raises(ServiceUnavailable):
        await make_service_client("im", serve(unsafe)).request("POST", "/a", {}, b"{}")
    answer = await make_service_client("im", serve(safe)).request(
        "POST", "/a", {}, b"{}", safe_to_repeat=True
    )
    assert answer.body == b"fine"
    assert (len(unsafe.requests), len(safe.requests)) == (1, 2)


@async_test
async def test_request_is_repeated_once_only(serve, make_service_client, scripted_service):
    service = scripted_service(BROKEN, BROKEN, SUCCESS)
    with pytest.raises(ServiceUnavailable):
        await make_service_client("im", serve(service)).request("GET", "/a", safe_to_repeat=True)
    assert len(service.requests) == 2


@async_test
async def test_redirect_is_not_followed(serve, make_service_client, scripted_service):
    service = scripted_service(SimulatorReply(302, {"Location": "/elsewhere"}, b""))
    assert (await make_service_client("im", serve(service)).request("GET", "/a")).status == 302
    assert len(service.requests) == 1


@async_test
async def test_state_follows_the_last_call(serve, make_service_client, scripted_service):
    client = make_service_client(
        "im", serve(scripted_service(SUCCESS, BROKEN, SimulatorReply(404, {}, b"")))
    )
    assert (client.state, client.latency_ms) == ("unknown", None)
    changes = [client.since]
    await client.request("GET", "/a")
    assert client.state == "ok"
    assert client.latency_ms > 0
    changes.append(client.since)
    with pytest.raises(ServiceUnavailable):
        await client.request("GET", "/a")
    assert client.state == "down"
    changes.append(client.since)
    await client.request("GET", "/a")
    assert client.state == "ok"
    last_change = client.since
    await client.request("GET", "/a")
    assert client.since == last_change
    assert [*changes, last_change] == sorted({*changes, last_change})


@async_test
async def test_full_queue_is_refused_at_once_and_leaves_the_state_unknown(
    serve, make_service_client, monkeypatch
):
    monkeypatch.setattr(module, "MAX_CLIENTS", 1)
    monkeypatch.setattr(module, "MAX_QUEUED", 0)
    received, release = asyncio.Event(), asyncio.Event()

    async def slow(_request: SimulatorRequest) -> SimulatorReply:
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


@async_test
async def test_log_contains_no_query_headers_or_body(serve, make_service_client, scripted_service):
    client = make_service_client("im", serve(scripted_service(BROKEN)))
    with capture_logs() as logs, pytest.raises(ServiceUnavailable):
        await client.request("POST", "/a", {"usersig": "hush"}, b"hush", {"Authorization": "hush"})
    assert [entry["why"] for entry in logs if "why" in entry] == ["HTTP 502"]
    assert "hush" not in repr(logs)


@async_test
async def test_a_state_is_fresh_for_a_while_after_each_request(
    serve, make_service_client, scripted_service, monkeypatch
):
    client = make_service_client("im", serve(scripted_service(SUCCESS, BROKEN, SUCCESS)))
    assert not client.is_fresh
    await client.request("GET", "/a")
    assert (client.state, client.is_fresh) == ("ok", True)
    with monkeypatch.context() as later:
        later.setattr(module, "FRESH_SECONDS", 0.0)
        assert (client.state, client.is_fresh) == ("ok", False)
    with pytest.raises(ServiceUnavailable):
        await client.request("GET", "/a")
    assert (client.state, client.is_fresh) == ("down", True)
