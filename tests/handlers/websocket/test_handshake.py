"""Handshakes: rate limit, origins and invalid requests."""

import asyncio
import json
import logging
import socket
from types import SimpleNamespace
from typing import Any

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from core.errors import PermissionDenied, QLiveError, RateLimited
from core.limits import Rate
from handlers.errors import BadRequest
from handlers.limits import RATES, RequestLimits
from handlers.websocket.handshake import Handshake, connect_request
from realtime.resume import ResumePosition
from runtime.process import ServerProcess
from telemetry.metrics import Metrics
from tests.support.api import BASE, ApiFixture
from tests.support.client_frames import PING, PONG, TEXT
from tests.support.websockets import connect_raw

ALLOWED_ORIGIN = "https://allowed.example"
HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


async def send_handshake(
    api: ApiFixture,
    *,
    method: str = "GET",
    version: str = "1.1",
    first_path: str = "",
    **headers: str,
) -> str:
    """HTTP response to a handshake; `first_path` is requested first on the same connection."""
    host, _, port = api.address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    if first_path:
        writer.write(f"GET {first_path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        await _read_response(reader)
    lines = [f"{name}: {value}" for name, value in {**HANDSHAKE, **headers}.items()]
    head_lines = [f"{method} {BASE}ws/?live_id=1 HTTP/{version}", f"Host: {host}:{port}", *lines]
    writer.write("\r\n".join([*head_lines, "", ""]).encode())
    answer = await _read_response(reader)
    writer.close()
    await writer.wait_closed()
    return answer.decode()


async def _read_response(reader: asyncio.StreamReader) -> bytes:
    answer = await reader.readuntil(b"\r\n\r\n")
    _, _, length = answer.lower().partition(b"content-length:")
    if length:
        answer += await reader.readexactly(int(length.split(b"\r\n")[0]))
    return answer


# ---- validation, without a server


def request(uri: str = f"{BASE}ws/?live_id=1", version: str = "1.1", **headers: str) -> Any:
    """A request as parsed by Tornado; headers set to "" are omitted."""
    sent = {"Host": "qlive.example", **HANDSHAKE, **headers}
    return HTTPServerRequest(
        start_line=RequestStartLine("GET", uri, f"HTTP/{version}"),
        headers=HTTPHeaders({name: value for name, value in sent.items() if value}),
        connection=SimpleNamespace(context=SimpleNamespace(remote_ip="10.0.0.1", protocol="http")),
    )


def refusal(
    handshake_request: Any, *allowed: str, limits: RequestLimits | None = None
) -> QLiveError | None:
    server = SimpleNamespace(allowed_origins=allowed, trusted_proxies=())
    context: Any = SimpleNamespace(
        settings=SimpleNamespace(server=server),
        lifecycle=SimpleNamespace(draining=False),
        request_limits=limits or RequestLimits(1, Metrics()),
    )
    return Handshake(context, handshake_request).error()


@pytest.mark.parametrize(
    "wrong",
    [
        *({name: ""} for name in HANDSHAKE),
        *({"Sec-WebSocket-Key": key} for key in ("short", "x" * 24, "ZGVzdA==", "é" * 24)),
        {"version": "1.0"},
        {"Upgrade": "h2c"},
        {"Connection": "keep-alive"},
        {"Sec-WebSocket-Version": "8"},
        {"Content-Length": "2"},
        {"Transfer-Encoding": "chunked"},
    ],
    ids=str,
)
def test_invalid_handshake_is_refused(wrong: dict[str, str]) -> None:
    assert isinstance(refusal(request(**wrong)), BadRequest)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Connection": "Upgrade", "Upgrade": "WebSocket"},
        {"Content-Length": "0"},
        {"Sec-WebSocket-Extensions": "permessage-deflate"},
        {"Origin": "http://qlive.example"},
        {"Origin": "https://qlive.example"},
        {"Origin": ALLOWED_ORIGIN},
    ],
    ids=str,
)
def test_handshake_from_own_or_allowed_origin_is_accepted(headers: dict[str, str]) -> None:
    assert refusal(request(**headers), ALLOWED_ORIGIN) is None


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", ALLOWED_ORIGIN + ":81", "http://[", "qlive.example"]
)
def test_foreign_origin_is_refused(origin: str) -> None:
    assert isinstance(refusal(request(Origin=origin), ALLOWED_ORIGIN), PermissionDenied)


def test_only_valid_handshakes_use_up_those_of_the_address() -> None:
    limits = RequestLimits(1, Metrics(), {**RATES, "handshake": Rate(0.001, 2)})
    bogus: list[dict[str, str]] = [{"Upgrade": ""}, {"Origin": "https://evil.example"}]
    found = [
        type(refusal(request(**headers), limits=limits)) for headers in (*bogus * 3, {}, {}, {})
    ]
    assert found == [BadRequest, PermissionDenied] * 3 + [type(None)] * 2 + [RateLimited]


NUMBERS = ["abc", "-1", "1.0", "1e3", "9" * 40, "%F0%9F%98%80", "%FF"]


@pytest.mark.parametrize("number", [*NUMBERS, "", "0", "%00", "1%201"])
def test_malformed_live_id_becomes_zero(number: str) -> None:
    upgrade = request(f"{BASE}ws/?live_id={number}")
    assert connect_request(upgrade).live_id == 0


@pytest.mark.parametrize(
    ("query", "position"),
    [
        ("", None),
        ("&epoch=e&since=7", ResumePosition("e", 7)),
        *((f"&epoch=e&since={number}", ResumePosition("", 0)) for number in NUMBERS),
    ],
)
def test_malformed_resume_position_has_an_empty_epoch(
    query: str, position: ResumePosition | None
) -> None:
    upgrade = request(f"{BASE}ws/?live_id=1{query}")
    assert connect_request(upgrade).since == position


# ---- over HTTP


async def test_refused_handshakes_get_the_error_envelope(
    api: ApiFixture, server: ServerProcess
) -> None:
    for headers, refusal in (
        ({"version": "1.0"}, (400, "bad_request")),
        ({"Content-Length": "2\r\n\r\n{}"}, (400, "bad_request")),
        ({"Transfer-Encoding": "chunked\r\n\r\n0\r\n"}, (400, "bad_request")),
        ({"Origin": "https://evil.example"}, (403, "not_allowed")),
        ({}, (503, "away")),
    ):
        server.context.lifecycle.draining = not headers
        head, _, body = (await send_handshake(api, **headers)).partition("\r\n\r\n")
        assert (int(head.split()[1]), json.loads(body)["code"]) == refusal
        assert json.loads(body)["detail"]
    other_method = await send_handshake(api, method="POST")
    assert other_method.startswith("HTTP/1.1 405 ")
    assert "\r\nAllow: GET\r\n" in other_method


async def test_frames_sent_together_with_the_handshake_are_processed(api: ApiFixture) -> None:
    host = await api.host()
    client = await connect_raw(host, pipelined=[(TEXT, b'{"type":"ping","n":9}'), (PING, b"hi")])
    frames = [frame for _ in range(3) if (frame := await client.next())]
    assert (PONG, b"hi") in frames
    types = [json.loads(data)["type"] for opcode, data in frames if opcode == TEXT]
    assert sorted(types) == ["pong", "snapshot"]
    await client.close()


async def test_keep_alive_connection_can_be_upgraded(api: ApiFixture) -> None:
    offered = {"Sec-WebSocket-Extensions": "permessage-deflate"}
    answer = await send_handshake(api, first_path="/healthz", **offered)
    assert answer.startswith("HTTP/1.1 101 ")
    assert "extensions" not in answer.lower(), "no extension is accepted"


async def test_client_disconnecting_during_the_handshake_logs_no_error(
    api: ApiFixture, caplog: pytest.LogCaptureFixture
) -> None:
    """The request is sent and the socket closed before the server reads it."""
    host, _, port = api.address.removeprefix("http://").partition(":")
    for _ in range(20):
        client = socket.create_connection((host, int(port)))
        await api.request("GET", "/healthz")  # the connection is accepted by then
        lines = [f"{name}: {value}" for name, value in HANDSHAKE.items()]
        head_lines = [f"GET {BASE}ws/?live_id=1 HTTP/1.1", f"Host: {host}", *lines]
        client.send("\r\n".join([*head_lines, "", ""]).encode())
        client.close()
        await api.request("GET", "/healthz")
    assert not [r for r in caplog.get_records("call") if r.levelno >= logging.ERROR]
