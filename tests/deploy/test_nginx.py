"""deploy/nginx.conf in front of two ports, on which a test may serve."""

import asyncio
import json
import re
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from config.sections import RealtimeSettings
from storage.accounts.tokens import USER_DIGITS
from tests.support.api import BASE, ApiFixture
from tests.support.nginx import DEPLOY, ClosingUpstream, Nginx, NginxApi, nginx_in_front
from tests.support.ports import reserved_port
from tests.support.waiting import until

pytestmark = [pytest.mark.programs, pytest.mark.linux]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n"
GIFT = f"{BASE}qlive_gift/push_gift/?gift_id=1&user_id=10000001"
HANDSHAKE = ("Host: qlive", "Connection: Upgrade", "Upgrade: websocket", "X-Forwarded-For: 8.8.8.8")
CLOSE = ("Host: qlive", "Connection: close", "Content-Length: 0")
NO_REFILL = {
    f"zone={zone} rate={rate}r/s": f"zone={zone} rate=1r/m"
    for zone, rate in {
        "address:10m": 500,
        "token:10m": 5,
        "login:10m": 200,
        "handshake:10m": 200,
        "ops:1m": 10,
    }.items()
}
FEW = {
    **NO_REFILL,
    "zone=address burst=1000": "zone=address burst=2",
    "zone=login burst=1000": "zone=login burst=2",
    "zone=handshake burst=1000": "zone=handshake burst=2",
    "limit_conn sockets 5000": "limit_conn sockets 2",
    "allow 127.0.0.1;": "allow 127.0.0.0/8;",
}
"""Each address may send three requests a class, and hold two sockets; bursts of a token and of
operators are those of the file."""


def started(folder: Path, changes: dict[str, str]) -> Iterator[Nginx]:
    """nginx in front of two ports, on which a test may serve."""
    with reserved_port() as first, reserved_port() as second:
        ports = [port.getsockname()[1] for port in (first, second)]
        nginx = Nginx(folder, *ports, changes)
        try:
            nginx.start()
            yield nginx
        finally:
            nginx.stop()


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """As shipped."""
    yield from started(tmp_path_factory.mktemp("nginx"), {})


@pytest.fixture(scope="module")
def with_few(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """With limits that a test reaches."""
    yield from started(tmp_path_factory.mktemp("few"), FEW)


@asynccontextmanager
async def serving(nginx: Nginx, *upstreams: ClosingUpstream) -> AsyncIterator[NginxApi]:
    """A client of nginx in front of upstreams: on the first port, and on the second."""
    api = NginxApi(nginx)
    async with AsyncExitStack() as running:
        for upstream, port in zip(upstreams, nginx.upstream_ports, strict=False):
            await running.enter_async_context(upstream.running(port))
        try:
            yield api
        finally:
            await api.close()


# ---- as shipped


async def test_server_behind_nginx_is_reached_over_https(
    api: ApiFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(api.address.rpartition(":")[2])
    async with nginx_in_front(tmp_path, port, port, monkeypatch) as (nginx, front_api):
        nginx.check()
        host = (await api.host()).through(front_api)
        bert = await api.guest("bert", 1, host.live_id, gold=1000)
        guest = bert.through(front_api)

        # Links in answers use the public address.
        page = (await guest.get("qlive_gift/")).ok()
        assert page["next"] == f"{nginx.address}{BASE}qlive_gift/?page=2"
        assert (await guest.get("qlive_gift/", page=2)).ok()["results"]

        # A long callback of IM is left to QLive, since IM sends a message after any other answer.
        long = await front_api.request("POST", f"{BASE}im/callback/", data=b" " * 300_000)
        assert long.refusal == (403, "callback_refused")

        # The client address comes from nginx, not from a forged header.
        forged, login = {"X-Forwarded-For": "8.8.8.8"}, {"name": "anna", "password": "wrong"}
        refused = await front_api.request("POST", "/ops/api/login", headers=forged, json=login)
        assert refused.refusal == (401, "ops_login")
        operator = {"Authorization": f"Bearer {await api.operator_token()}"}
        audit = await front_api.request("GET", "/ops/api/audit", headers=operator)
        assert {row["address"] for row in audit.ok()["items"]} == {"127.0.0.1"}

        # Internal paths are not reachable from outside; /sim exists in development only.
        http = front_api.http
        for path in ("/metrics", "/readyz", "/sim/log", "/docs/", "/"):
            assert (await http.send("GET", nginx.address + path)).status == 404, path
        plain_url = f"http://127.0.0.1:{nginx.plain_port}{BASE}get_livelist/?page=1"
        redirected = await http.send("GET", plain_url, allow_redirects=False)
        assert redirected.status == 301
        assert redirected.headers["Location"] == f"https://127.0.0.1{BASE}get_livelist/?page=1"

        # A socket survives a reload of nginx.
        listener = await host.connect()
        await listener.next("snapshot")
        for reloads in (False, True):
            if reloads:
                await nginx.reload()
            (await guest.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
            await listener.next("micro_apply")
            (await guest.post("qlive_room/refuse_micro/", live_id=host.live_id)).ok()
            await listener.next("micro_refuse")

        # The access log has paths without queries.
        log = (nginx.folder / "access.log").read_text()
        assert f'"GET {BASE}qlive_gift/" 200' in log
        assert "page=2" not in log
        assert host.token not in log


def test_nginx_socket_timeouts_exceed_the_servers_silence_timeout() -> None:
    config = (DEPLOY / "nginx.conf").read_text()
    location = re.search(r"location ~ \^/wx/api/qlive/ws/\?\$ \{(.*?)\n {8}\}", config, re.DOTALL)
    assert location
    for name in ("proxy_read_timeout", "proxy_send_timeout"):
        seconds = re.search(rf"{name} (\d+)s;", location[1])
        assert seconds
        assert int(seconds[1]) >= 2 * RealtimeSettings().silent_seconds > 60


REPEATED = {
    f"GET {BASE}get_livelist/": True,
    f"GET {GIFT}&request_id=a1": True,
    f"GET {GIFT}": False,
    f"GET {GIFT}&request_id=": False,
    f"GET {GIFT}&my_request_id=a1": False,
    f"POST {BASE}qlive_room/apply_micro/": False,
    f"POST {BASE}qlive_pay/": False,
}


async def test_only_repeatable_requests_without_an_answer_go_to_the_other_server(
    nginx: Nginx,
) -> None:
    upstream = ClosingUpstream()
    access_log = nginx.folder / "access.log"
    async with serving(nginx, upstream, upstream) as api:
        for line in REPEATED:
            reply = await api.request(*line.split(), json={})
            assert reply.refusal == (503, "try_again")
            assert reply.headers["Retry-After"] == "2"
    attempts = Counter(upstream.request_lines)
    assert {line: attempts[line] > 1 for line in attempts} == REPEATED
    # It is written after the answer; no other test gets 503.
    await until(lambda: access_log.read_text().count('" 503 ') == len(REPEATED))
    logs = [access_log.read_text(), (nginx.folder / "error.log").read_text()]
    assert all(line.split()[1].partition("?")[0] in logs[0] for line in REPEATED)
    assert not any("request_id" in log or "user_id" in log for log in logs), logs


ROOMS, USERS = range(10_000_001, 10_000_021), range(20)


async def shake_hands(api: NginxApi, live_id: int) -> None:
    response = await api.send_raw(f"GET {BASE}ws/?live_id={live_id} HTTP/1.1", *HANDSHAKE)
    assert response.startswith(b"HTTP/1.1 101 "), response


async def open_user_channel(api: NginxApi, user: int) -> None:
    token = f"Authorization: QLiveToken {user:0{USER_DIGITS}x}{secrets.token_hex(16)}"
    response = await api.send_raw(f"GET {BASE}ws/?user={user} HTTP/1.1", *HANDSHAKE, token)
    assert response.startswith(b"HTTP/1.1 101 "), response


async def call(api: NginxApi, user: int, before_token: str = " QLiveToken ") -> None:
    """Requests of each kind, each with a new token of the user."""
    for line in ("GET get_livelist/?", "GET qlive_gift/push_gift/?request_id=a1&", "POST like/?"):
        method, path = line.split()
        token = f"Authorization:{before_token}{user:0{USER_DIGITS}x}{secrets.token_hex(16)}"
        request = f"{method} {BASE}{path}user={user} HTTP/1.1"
        response = await api.send_raw(request, *CLOSE, token)
        assert response.startswith(b"HTTP/1.1 200 "), response


async def call_with_spaces(api: NginxApi, user: int) -> None:
    await call(api, user)
    await call(api, user, "\t qlivetoken \t ")


def keys_of(upstream: ClosingUpstream) -> list[int]:
    """The room or the user of each request that reached it."""
    return [int(line.rpartition("=")[2]) for line in upstream.request_lines]


async def test_handshake_is_sent_to_the_other_server_while_one_is_draining(nginx: Nginx) -> None:
    draining = ClosingUpstream(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
    accepting = ClosingUpstream(SWITCHING)
    async with serving(nginx, draining, accepting) as api:
        for live_id in ROOMS:
            await shake_hands(api, live_id)
    assert keys_of(accepting) == [*ROOMS]
    assert 0 < len({*keys_of(draining)}) < len(ROOMS)


@pytest.mark.parametrize(
    ("response", "keys", "send"),
    [
        (SWITCHING, ROOMS, shake_hands),
        (SWITCHING, USERS, open_user_channel),
        (OK, USERS, call_with_spaces),
    ],
    ids=["room", "user channel", "user"],
)
async def test_sockets_of_a_room_and_requests_of_a_user_share_a_server_also_when_one_is_lost(
    nginx: Nginx, response: bytes, keys: range, send: Any
) -> None:
    """Rate limits are those of a process: no form of a token may choose another."""
    first, second = ClosingUpstream(response), ClosingUpstream(response)
    async with serving(nginx, first, second) as api:
        for key in (*keys, *keys):
            await send(api, key)
    on_first, on_second = {*keys_of(first)}, {*keys_of(second)}
    assert on_first | on_second == {*keys}
    assert min(len(on_first), len(on_second)) > 0
    assert not on_first & on_second
    left = ClosingUpstream(response)
    async with serving(nginx, left) as api:
        for key in keys:
            await send(api, key)
    assert {*keys_of(left)} == {*keys}


async def test_tokens_of_other_forms_go_to_one_server(nginx: Nginx) -> None:
    first, second = ClosingUpstream(OK), ClosingUpstream(OK)
    async with serving(nginx, first, second) as api:
        for user in USERS:
            await call(api, user, f" QLiveToken\v{user:02x}")
    assert {len({*keys_of(first)}), len({*keys_of(second)})} == {0, len(USERS)}


async def test_only_the_websocket_path_can_be_upgraded(nginx: Nginx) -> None:
    upstream = ClosingUpstream(b"HTTP/1.1 204 No Content\r\n\r\n")
    async with serving(nginx, upstream, upstream) as api:
        for path in ("ws/", "get_livelist/", "qlive_gift/"):
            await api.send_raw(f"GET {BASE}{path} HTTP/1.1", *HANDSHAKE, "Connection: close")
    headers = [
        dict(line.split(": ", 1) for line in head.lower().splitlines()[1:] if line)
        for head in upstream.heads
    ]
    assert [received["connection"] for received in headers] == ["upgrade", "close", "close"]
    assert [received.get("upgrade") for received in headers] == ["websocket", None, None]
    for received in headers:  # on every path: client address and scheme
        assert received["host"] == "qlive"
        assert received["x-forwarded-for"] == "127.0.0.1"
        assert received["x-forwarded-proto"] == "https"
        assert received["x-request-id"]


async def test_requests_refused_by_nginx_get_an_html_page_and_reach_no_server(nginx: Nginx) -> None:
    upstream = ClosingUpstream()
    refused = {
        404: ("GET /nowhere HTTP/1.1",),
        405: ("TRACE /healthz HTTP/1.1",),
        413: (f"POST {BASE}qlive_like/ HTTP/1.1", "Content-Length: 200000"),
        414: (f"GET /healthz?{'a' * 9000} HTTP/1.1",),
        400: ("GET /healthz HTTP/1.1", f"Cookie: {'a' * 9000}"),
    }
    async with serving(nginx, upstream, upstream) as api:
        for status, lines in refused.items():
            reader, writer = await api.connect()
            writer.write("\r\n".join((*lines, "Host: qlive", "", "")).encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(f"HTTP/1.1 {status} ".encode())
            assert b"Content-Type: text/html" in head
            writer.close()
    assert upstream.heads == []


# ---- limits


async def statuses(
    api: NginxApi, path: str, address: int, *headers: str, count: int = 5
) -> list[int]:
    """Statuses of requests from 127.0.0.`address`, one after another."""
    api.local_address = f"127.0.0.{address}"
    return [await status(api, path, *headers) for _ in range(count)]


async def status(api: NginxApi, path: str, *headers: str) -> int:
    """The status of a request; a refusal must be ours."""
    response = await api.send_raw(f"GET {path} HTTP/1.1", *CLOSE, *headers)
    status = int(response.split()[1])
    assert b"\r\nStrict-Transport-Security: max-age=31536000\r\n" in response
    if status == 429:
        head, _, body = response.partition(b"\r\n\r\n")
        assert b"Content-Type: application/json" in head
        assert b"Retry-After: 1" in head
        assert json.loads(body)["code"] == "too_many"
    return status


LIVES, LOGIN, SOCKET = f"{BASE}get_livelist/", f"{BASE}qlive_user/login/", f"{BASE}ws/?live_id=1"


@pytest.mark.parametrize(
    ("address", "path", "other_path"),
    [
        (10, LIVES, LOGIN),
        (20, f"{GIFT}&request_id=a1", "/ops/"),
        (30, GIFT, SOCKET),
        (40, LOGIN, LIVES),
        (50, f"{BASE}qlive_user", LIVES),
        (60, SOCKET, LIVES),
    ],
)
async def test_a_flood_from_one_address_gets_429_and_no_other_address_or_path_does(
    with_few: Nginx, address: int, path: str, other_path: str
) -> None:
    upstream = ClosingUpstream(OK)
    async with serving(with_few, upstream, upstream) as api:
        assert await statuses(api, path, address) == [200] * 3 + [429] * 2
        assert len(upstream.heads) == 3
        assert await statuses(api, other_path, address, count=3) == [200] * 3
        assert await statuses(api, path, address + 1) == [200] * 3 + [429] * 2


@pytest.mark.parametrize("path", ["im/callback/?SdkAppid=1", "live/callback/"])
async def test_callbacks_of_one_address_are_not_refused(with_few: Nginx, path: str) -> None:
    """IM would send the messages about which it could not ask."""
    upstream = ClosingUpstream(OK)
    async with serving(with_few, upstream, upstream) as api:
        assert await statuses(api, f"{BASE}{path}", 80, count=20) == [200] * 20


ANNA, OTHER_OF_ANNA, BERT = (
    f"Authorization: QLiveToken {digits:040x}" for digits in (1, 2, 16**32 + 1)
)


async def test_a_flood_with_one_token_is_delayed_and_then_gets_429(
    with_few: Nginx,
) -> None:
    """A phone starts with ten calls; the next ten wait, here for minutes."""

    upstream = ClosingUpstream(OK)
    async with serving(with_few, upstream, upstream) as api:
        sending = [
            asyncio.create_task(statuses(api, LIVES, 100 + n, ANNA, count=1)) for n in range(25)
        ]
        answered: Counter[int] = Counter()
        for done in asyncio.as_completed(sending):
            answered.update(await done)
            if answered.total() == 15:
                break
        assert answered == {200: 11, 429: 4}
        for task in sending:
            task.cancel()
        await asyncio.wait(sending)
        spaced = ANNA.replace(" ", " \t  ").upper() + " "
        assert await statuses(api, LIVES, 130, spaced, count=1) == [429]
        for address, headers in enumerate(((BERT,), (OTHER_OF_ANNA,), ()), 140):
            assert await statuses(api, LIVES, address, *headers, count=3) == [200] * 3
        assert len(upstream.heads) == 11 + 9


async def test_operators_may_send_51_requests_at_once(with_few: Nginx) -> None:
    upstream = ClosingUpstream(OK)
    async with serving(with_few, upstream, upstream) as api:
        floods = await asyncio.gather(*(statuses(api, "/ops/", 70) for _ in range(12)))
        assert sum(found.count(200) for found in floods) == len(upstream.heads) == 51
        assert await statuses(api, LIVES, 70, count=3) == [200] * 3
        assert await statuses(api, "/ops/api/overview", 71, count=3) == [200] * 3


async def test_sockets_of_one_address_are_counted_while_they_are_open(with_few: Nginx) -> None:
    async with serving(with_few, *[ClosingUpstream(SWITCHING, holds=True)] * 2) as api:
        api.local_address = "127.0.0.80"
        found = []
        for _ in range(3):
            reader, writer = await api.connect()
            writer.write("\r\n".join((f"GET {BASE}ws/ HTTP/1.1", *HANDSHAKE, "", "")).encode())
            found.append((await reader.readline()).split()[1])
        assert found == [b"101", b"101", b"429"]
