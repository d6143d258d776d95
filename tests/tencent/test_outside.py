import asyncio
import socket

import pytest
from structlog.testing import capture_logs
from tornado.iostream import IOStream
from tornado.tcpserver import TCPServer
from tornado.testing import bind_unused_port

from rooms.refusals import ServiceAway
from tencent import outside as module
from tencent.simulator.wire import SimReply, SimRequest

a_call = pytest.mark.gen_test(timeout=20)

FINE = SimReply(200, {"X-Word": "hello"}, b"fine")
BROKEN = SimReply(502, {}, b"bad gateway")


@a_call
async def test_an_answer_comes_with_status_headers_and_raw_body(serve, reach, script):
    service = script(SimReply(404, {"X-Word": "hello"}, b"\x00\xff"))
    answer = await reach("im", serve(service)).get("/a/b", {"q": "x&=* é"}, {"X-Ours": "1"})
    assert (answer.status, answer.body) == (404, b"\x00\xff")
    assert answer.headers["x-word"] == "hello"
    heard = service.heard[0]
    assert (heard.method, heard.path, heard.query["q"]) == ("GET", "/a/b", "x&=* é")
    assert heard.header("x-ours") == "1"


@a_call
async def test_a_post_sends_its_bytes_as_they_are(serve, reach, script):
    service = script(FINE)
    await reach("im", serve(service)).post("/a", {}, b'{"a":  1}', {"Content-Type": "text/x"})
    assert service.heard[0].method == "POST"
    assert service.heard[0].body == b'{"a":  1}'
    assert service.heard[0].header("Content-Type") == "text/x"


@a_call
@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_broken_service_is_away(serve, reach, script, status):
    service = script(SimReply(status, {}, b""))
    with pytest.raises(ServiceAway) as refusal:
        await reach("pay", serve(service)).get("/a", {})
    assert refusal.value.code == "pay_away"
    assert len(service.heard) == 1


@a_call
async def test_a_service_that_does_not_listen_is_away(reach):
    listener, port = bind_unused_port()
    listener.close()
    with pytest.raises(ServiceAway):
        await reach("im", f"http://127.0.0.1:{port}").get("/a", {})


@a_call
async def test_a_service_without_an_address_is_away(reach, monkeypatch):
    def no_such_name(*_args, **_named):
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    with pytest.raises(ServiceAway):
        await reach("im", "http://im.invalid").get("/a", {})


@a_call
async def test_a_service_that_says_nothing_is_away_in_time(serve, reach):
    release = asyncio.Event()

    async def silent(_request: SimRequest) -> SimReply:
        await release.wait()
        return FINE

    try:
        with pytest.raises(ServiceAway):
            await reach("im", serve(silent), timeout=0.1).get("/a", {})
    finally:
        release.set()


class Babbler(TCPServer):
    async def handle_stream(self, stream: IOStream, _address: object) -> None:
        await stream.write(b"SSH-2.0-not-http\r\n\r\n")
        stream.close()


@a_call
async def test_a_service_that_does_not_speak_http_is_away(reach):
    listener, port = bind_unused_port()
    server = Babbler()
    server.add_socket(listener)
    with pytest.raises(ServiceAway):
        await reach("im", f"http://127.0.0.1:{port}").get("/a", {})
    server.stop()


@a_call
async def test_only_what_is_safe_is_repeated(serve, reach, script):
    once, twice = script(BROKEN, FINE), script(BROKEN, FINE)
    with pytest.raises(ServiceAway):
        await reach("im", serve(once)).post("/a", {}, b"{}")
    answer = await reach("im", serve(twice)).post("/a", {}, b"{}", safe_to_repeat=True)
    assert answer.body == b"fine"
    assert (len(once.heard), len(twice.heard)) == (1, 2)


@a_call
async def test_it_is_repeated_once_only(serve, reach, script):
    service = script(BROKEN, BROKEN, FINE)
    with pytest.raises(ServiceAway):
        await reach("im", serve(service)).get("/a", {}, safe_to_repeat=True)
    assert len(service.heard) == 2


@a_call
async def test_a_redirection_is_not_followed(serve, reach, script):
    service = script(SimReply(302, {"Location": "/elsewhere"}, b""))
    assert (await reach("im", serve(service)).get("/a", {})).status == 302
    assert len(service.heard) == 1


@a_call
async def test_the_state_is_what_the_last_call_found(serve, reach, script):
    outside = reach("im", serve(script(FINE, BROKEN, SimReply(404, {}, b""))))
    assert (outside.state, outside.latency_ms) == ("unknown", None)
    seen = [outside.since]
    await outside.get("/a", {})
    assert outside.state == "ok"
    assert outside.latency_ms > 0
    seen.append(outside.since)
    with pytest.raises(ServiceAway):
        await outside.get("/a", {})
    assert outside.state == "down"
    seen.append(outside.since)
    await outside.get("/a", {})
    assert outside.state == "ok"
    fourth = outside.since
    await outside.get("/a", {})
    assert outside.since == fourth
    assert [*seen, fourth] == sorted({*seen, fourth})


@a_call
async def test_a_crowd_is_refused_at_once_and_says_nothing_about_the_service(
    serve, reach, monkeypatch
):
    monkeypatch.setattr(module, "MAX_CLIENTS", 1)
    monkeypatch.setattr(module, "MAX_WAITING", 0)
    asked, release = asyncio.Event(), asyncio.Event()

    async def slow(_request: SimRequest) -> SimReply:
        asked.set()
        await release.wait()
        return FINE

    outside = reach("im", serve(slow))
    first = asyncio.ensure_future(outside.get("/a", {}))
    await asked.wait()
    with pytest.raises(ServiceAway):
        await outside.get("/a", {})
    assert outside.state == "unknown"
    release.set()
    assert (await first).body == b"fine"
    assert (await outside.get("/a", {})).body == b"fine"


@a_call
async def test_the_log_never_holds_query_headers_or_body(serve, reach, script):
    outside = reach("im", serve(script(BROKEN)))
    with capture_logs() as logs, pytest.raises(ServiceAway):
        await outside.post("/a", {"usersig": "hush"}, b"hush", {"Authorization": "hush"})
    assert [entry["why"] for entry in logs if "why" in entry] == ["HTTP 502"]
    assert "hush" not in repr(logs)
