import asyncio
import json
import re
import secrets
import socket
from collections import Counter
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from config.sections import RealtimeSettings
from storage.accounts.tokens import USER_DIGITS
from tests.support.api import BASE, ApiFixture
from tests.support.nginx import DEPLOY, ClosingUpstream, NginxApi, nginx_in_front
from tests.support.waiting import until

pytestmark = [pytest.mark.programs, pytest.mark.linux]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
GIFT = f"{BASE}qlive_gift/push_gift/?gift_id=1&user_id=10000001"


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"pages": {"size": 2}}


@pytest.mark.gen_test(timeout=60)
async def test_server_behind_nginx_is_reached_over_https(
    api: ApiFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(api.address.rpartition(":")[2])
    async with nginx_in_front(tmp_path, port, port, monkeypatch) as (nginx, front_api):
        nginx.check()
        host = front_api.via_nginx(await api.host())
        guest = front_api.via_nginx(await api.guest("bert", 1, host.live_id, gold=1000))

        # Links in answers use the public address.
        page = (await guest.get("qlive_gift/")).ok()
        assert page["next"] == f"{nginx.address}{BASE}qlive_gift/?page=2"
        assert (await guest.get("qlive_gift/", page=2)).ok()["results"]

        # The client address comes from nginx, not from a forged header.
        forged, login = {"X-Forwarded-For": "8.8.8.8"}, {"name": "anna", "password": "wrong"}
        refused = await front_api.request("POST", "/ops/api/login", headers=forged, json=login)
        assert refused.refusal == (401, "ops_login")
        operator = {"Authorization": f"Bearer {await api.operator_token()}"}
        audit = await front_api.request("GET", "/ops/api/audit", headers=operator)
        addresses = {row["address"] for row in audit.ok()["items"]}
        assert addresses == {"127.0.0.1"}

        # Internal paths are not reachable from outside; /sim exists in development only.
        http = front_api._http
        for path in ("/metrics", "/readyz", "/sim/log", "/docs/", "/"):
            assert (await http.send("GET", nginx.address + path)).status == 404, path
        plain_url = f"http://127.0.0.1:{nginx.plain_port}{BASE}get_livelist/?page=1"
        redirected = await http.send("GET", plain_url, allow_redirects=False)
        assert redirected.status == 301
        assert redirected.headers["Location"] == f"https://127.0.0.1{BASE}get_livelist/?page=1"

        # A socket survives a reload of nginx.
        listener = await host.connect()
        await listener.next("snapshot")
        for round_number in range(6):
            if round_number == 3:
                await nginx.reload()
            (await guest.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
            await listener.next("micro_apply")
            (await guest.post("qlive_room/refuse_micro/", live_id=host.live_id)).ok()
            await listener.next("micro_refuse")

        # The access log has paths without queries.
        log = (tmp_path / "nginx" / "access.log").read_text()
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


@pytest.mark.gen_test(timeout=30)
async def test_only_repeatable_requests_are_retried_on_the_other_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream = ClosingUpstream()
    async with (
        upstream.running() as first,
        upstream.running() as second,
        nginx_in_front(tmp_path, first, second, monkeypatch) as (_, front_api),
    ):
        for line in REPEATED:
            reply = await front_api.request(*line.split(), json={})
            assert reply.refusal == (503, "try_again")
            assert reply.headers["Retry-After"] == "2"
        access_log = tmp_path / "nginx" / "access.log"  # written after the answer
        await until(lambda: len(access_log.read_text().splitlines()) >= len(REPEATED))
    attempts = Counter(upstream.request_lines)
    assert {line: attempts[line] > 1 for line in attempts} == REPEATED
    logs = [(tmp_path / "nginx" / name).read_text() for name in ("access.log", "error.log")]
    assert all(line.split()[1].partition("?")[0] in logs[0] for line in REPEATED)
    assert not any("request_id" in log or "user_id" in log for log in logs), logs


@pytest.mark.gen_test(timeout=30)
async def test_any_request_is_retried_on_the_other_server_after_a_refused_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream, line = ClosingUpstream(OK), f"POST {BASE}qlive_like/"
    with socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))  # it holds its port and does not listen
        second = refusing.getsockname()[1]
        async with (
            upstream.running() as first,
            nginx_in_front(tmp_path, first, second, monkeypatch) as (_, front_api),
        ):
            for _ in range(6):
                response = await front_api.send_raw(
                    f"{line} HTTP/1.1", "Host: qlive", "Connection: close", "Content-Length: 0"
                )
                assert response.startswith(b"HTTP/1.1 200 "), response
    assert upstream.request_lines == [line] * 6


SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n"
ROOMS = range(10_000_001, 10_000_021)
HANDSHAKE = ("Host: qlive", "Connection: Upgrade", "Upgrade: websocket", "X-Forwarded-For: 8.8.8.8")


async def shake_hands(front_api: NginxApi, live_id: int) -> None:
    response = await front_api.send_raw(f"GET {BASE}ws/?live_id={live_id} HTTP/1.1", *HANDSHAKE)
    assert response.startswith(b"HTTP/1.1 101 "), response


def rooms_of(upstream: ClosingUpstream) -> list[int]:
    """The room of each handshake that reached it."""
    return [int(line.partition("live_id=")[2]) for line in upstream.request_lines]


@pytest.mark.gen_test(timeout=30)
async def test_handshake_is_retried_on_the_other_server_while_one_is_draining(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draining = ClosingUpstream(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
    serving = ClosingUpstream(SWITCHING)
    async with (
        draining.running() as first,
        serving.running() as second,
        nginx_in_front(tmp_path, first, second, monkeypatch) as (_, front_api),
    ):
        for live_id in ROOMS:
            await shake_hands(front_api, live_id)
        assert rooms_of(serving) == [*ROOMS]
        assert 0 < len({*rooms_of(draining)}) < len(ROOMS)


@pytest.mark.gen_test(timeout=30)
async def test_sockets_of_a_room_share_a_server_and_move_together_when_it_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = ClosingUpstream(SWITCHING), ClosingUpstream(SWITCHING)
    async with AsyncExitStack() as life_of_first, second.running() as second_port:
        first_port = await life_of_first.enter_async_context(first.running())
        ports = first_port, second_port
        async with nginx_in_front(tmp_path, *ports, monkeypatch) as (_, front_api):
            for live_id in (*ROOMS, *ROOMS):
                await shake_hands(front_api, live_id)
            on_first, on_second = {*rooms_of(first)}, {*rooms_of(second)}
            assert on_first | on_second == {*ROOMS}
            assert min(len(on_first), len(on_second)) > 0
            assert not on_first & on_second
            await life_of_first.aclose()
            for live_id in ROOMS:
                await shake_hands(front_api, live_id)
            assert rooms_of(second)[-len(ROOMS) :] == [*ROOMS]


USERS = range(20)
CALLS = ("GET get_livelist/?", "GET qlive_gift/push_gift/?request_id=a1&", "POST qlive_like/?")
CALLS += ("GET qlive_gift/push_gift/?",)  # not retried


async def call(front_api: NginxApi, line: str, user: int, before_token: str) -> None:
    """A request with a new token of the user."""
    method, path = line.split()
    request = f"{method} {BASE}{path}user={user} HTTP/1.1"
    token = f"Authorization:{before_token}{user:0{USER_DIGITS}x}{secrets.token_hex(16)}"
    response = await front_api.send_raw(
        request, "Host: qlive", "Connection: close", "Content-Length: 0", token
    )
    assert response.startswith(b"HTTP/1.1 200 "), response


def users_of(upstream: ClosingUpstream) -> set[int]:
    return {int(line.partition("user=")[2]) for line in upstream.request_lines}


@pytest.mark.gen_test(timeout=30)
async def test_requests_of_a_user_go_to_one_server_and_to_the_other_when_it_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rate limits are those of a process: no form of a token may choose another."""
    first, second = ClosingUpstream(OK), ClosingUpstream(OK)
    async with AsyncExitStack() as life_of_first, second.running() as second_port:
        first_port = await life_of_first.enter_async_context(first.running())
        ports = first_port, second_port
        async with nginx_in_front(tmp_path, *ports, monkeypatch) as (_, front_api):
            for user in USERS:
                for line in CALLS:
                    await call(front_api, line, user, " QLiveToken ")
                await call(front_api, CALLS[0], user, "\t qlivetoken \t ")
            assert users_of(first) | users_of(second) == {*USERS}
            assert min(len(users_of(first)), len(users_of(second))) > 0
            assert not users_of(first) & users_of(second)
            await life_of_first.aclose()
            for user in USERS:
                for line in CALLS[:-1]:
                    await call(front_api, line, user, " QLiveToken ")
            assert users_of(second) == {*USERS}


@pytest.mark.gen_test(timeout=30)
async def test_tokens_of_other_forms_go_to_one_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = ClosingUpstream(OK), ClosingUpstream(OK)
    async with first.running() as one, second.running() as other:
        async with nginx_in_front(tmp_path, one, other, monkeypatch) as (_, front_api):
            for user in USERS:
                await call(front_api, CALLS[0], user, f" QLiveToken\v{user:02x}")
        assert {len(users_of(first)), len(users_of(second))} == {0, len(USERS)}


@pytest.mark.gen_test(timeout=30)
async def test_only_the_websocket_path_can_be_upgraded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream = ClosingUpstream(b"HTTP/1.1 204 No Content\r\n\r\n")
    async with (
        upstream.running() as port,
        nginx_in_front(tmp_path, port, port, monkeypatch) as (_, front_api),
    ):
        for path in ("ws/", "get_livelist/", "qlive_gift/"):
            await front_api.send_raw(f"GET {BASE}{path} HTTP/1.1", *HANDSHAKE, "Connection: close")
    headers = [
        dict(line.split(": ", 1) for line in head.lower().splitlines()[1:] if line)
        for head in upstream.heads
    ]
    assert [it["connection"] for it in headers] == ["upgrade", "close", "close"]
    assert [it.get("upgrade") for it in headers] == ["websocket", None, None]
    for received in headers:  # on every path: client address and scheme
        assert received["host"] == "qlive"
        assert received["x-forwarded-for"] == "127.0.0.1"
        assert received["x-forwarded-proto"] == "https"
        assert received["x-request-id"]


@pytest.mark.gen_test(timeout=30)
async def test_requests_refused_by_nginx_get_an_html_page_and_reach_no_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream = ClosingUpstream()
    refused = {
        404: ("GET /nowhere HTTP/1.1",),
        405: ("TRACE /healthz HTTP/1.1",),
        413: (f"POST {BASE}qlive_like/ HTTP/1.1", "Content-Length: 200000"),
        414: (f"GET /healthz?{'a' * 9000} HTTP/1.1",),
        400: ("GET /healthz HTTP/1.1", f"Cookie: {'a' * 9000}"),
    }
    async with (
        upstream.running() as port,
        nginx_in_front(tmp_path, port, port, monkeypatch) as (_, front_api),
    ):
        for status, lines in refused.items():
            response = await front_api.send_raw(*lines, "Host: qlive", "Connection: close")
            assert response.startswith(f"HTTP/1.1 {status} ".encode()), response
            assert b"Content-Type: text/html" in response
    assert upstream.request_lines == []


# ---- floods

HSTS = b"\r\nStrict-Transport-Security: max-age=31536000\r\n"
FEW = {
    # Rates and bursts so low that a test exceeds them; each zone is changed on its own.
    "address": {"zone=address:10m rate=500r/s": "zone=address:10m rate=1r/m"}
    | {"zone=address burst=1000": "zone=address burst=2"},
    "token": {"zone=token:10m rate=5r/s": "zone=token:10m rate=1r/m"}
    | {"zone=token burst=20": "zone=token burst=2"},
    "login": {"zone=login:10m rate=50r/s": "zone=login:10m rate=1r/m"}
    | {"zone=login burst=200": "zone=login burst=2"},
    "handshake": {"zone=handshake:10m rate=200r/s": "zone=handshake:10m rate=1r/m"}
    | {"zone=handshake burst=1000": "zone=handshake burst=2"},
    "ops": {"zone=ops:1m rate=10r/s": "zone=ops:1m rate=1r/m"}
    | {"zone=ops burst=50": "zone=ops burst=2", "allow 127.0.0.1;": "allow 127.0.0.0/8;"},
}
ANNA, OTHER_OF_ANNA, BERT = (
    f"Authorization: QLiveToken {digits:040x}" for digits in (1, 2, 16**32 + 1)
)


async def statuses(front_api: NginxApi, path: str, *headers: str, count: int = 5) -> list[int]:
    """Statuses of requests one after another; every refusal must be ours."""
    found = []
    for _ in range(count):
        response = await front_api.send_raw(
            f"GET {path} HTTP/1.1", "Host: qlive", "Connection: close", *headers
        )
        found.append(int(response.split()[1]))
        assert HSTS in response
        if found[-1] == 429:
            head, _, body = response.partition(b"\r\n\r\n")
            assert b"Content-Type: application/json" in head
            assert b"Retry-After: 1" in head
            assert json.loads(body)["code"] == "too_many"
    return found


@pytest.mark.parametrize(
    ("zone", "path", "other_path"),
    [
        ("address", f"{BASE}get_livelist/", f"{BASE}qlive_user/login/"),
        ("address", f"{GIFT}&request_id=a1", "/ops/"),
        ("address", GIFT, f"{BASE}ws/?live_id=1"),
        ("login", f"{BASE}qlive_user/login/", f"{BASE}qlive_user/get_userinfo/"),
        ("login", f"{BASE}qlive_user", f"{BASE}get_livelist/"),
        ("handshake", f"{BASE}ws/?live_id=1", f"{BASE}get_livelist/"),
        ("ops", "/ops/api/overview", f"{BASE}get_livelist/"),
    ],
)
@pytest.mark.gen_test(timeout=30)
async def test_a_flood_from_one_address_gets_429_and_no_other_address_or_path_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str, path: str, other_path: str
) -> None:
    upstream = ClosingUpstream(OK)
    async with (
        upstream.running() as port,
        nginx_in_front(tmp_path, port, port, monkeypatch, FEW[zone]) as (_, front_api),
    ):
        assert await statuses(front_api, path) == [200] * 3 + [429] * 2
        assert len(upstream.heads) == 3
        assert await statuses(front_api, other_path) == [200] * 5
        front_api.local_address = "127.0.0.2"
        assert await statuses(front_api, path) == [200] * 3 + [429] * 2


@pytest.mark.gen_test(timeout=30)
async def test_a_flood_with_one_token_gets_429_and_other_tokens_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream, path = ClosingUpstream(OK), f"{BASE}get_livelist/"
    async with (
        upstream.running() as port,
        nginx_in_front(tmp_path, port, port, monkeypatch, FEW["token"]) as (_, front_api),
    ):
        assert await statuses(front_api, path, ANNA) == [200] * 3 + [429] * 2
        spaced = ANNA.replace(" ", " \t  ").upper() + " "
        assert await statuses(front_api, path, spaced, count=1) == [429]
        assert await statuses(front_api, path, BERT, count=3) == [200] * 3
        assert await statuses(front_api, path, OTHER_OF_ANNA, count=3) == [200] * 3
        assert await statuses(front_api, path) == [200] * 5
        front_api.local_address = "127.0.0.2"
        assert await statuses(front_api, path, ANNA, count=1) == [429]


@pytest.mark.gen_test(timeout=30)
async def test_the_bursts_as_shipped_stop_a_flood_and_no_normal_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream, no_refill = (
        ClosingUpstream(OK),
        dict.fromkeys(("rate=5r/s", "rate=10r/s"), "rate=1r/m"),
    )
    async with (
        upstream.running() as port,
        nginx_in_front(tmp_path, port, port, monkeypatch, no_refill) as (_, front_api),
    ):
        assert await statuses(front_api, f"{BASE}get_livelist/", ANNA, count=11) == [200] * 11
        flood = await asyncio.gather(*(statuses(front_api, "/ops/") for _ in range(12)))
        assert sum(found.count(200) for found in flood) == 51


@pytest.mark.gen_test(timeout=30)
async def test_sockets_of_one_address_are_counted_while_they_are_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n")
        await reader.read()
        writer.close()

    async def handshake() -> tuple[bytes, asyncio.StreamWriter]:
        reader, writer = await front_api.connect()
        writer.write("\r\n".join((f"GET {BASE}ws/ HTTP/1.1", *HANDSHAKE, "", "")).encode())
        return await reader.readline(), writer

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port, changes = server.sockets[0].getsockname()[1], {"sockets 5000": "sockets 2"}
    async with (
        server,
        nginx_in_front(tmp_path, port, port, monkeypatch, changes) as (_, front_api),
    ):
        answers = [await handshake() for _ in range(3)]
        assert [line.split()[1] for line, _ in answers] == [b"101", b"101", b"429"]
        for _, writer in answers:
            writer.close()


@pytest.mark.parametrize(
    ("timeout", "sent"),
    [
        ("client_header_timeout", "GET /healthz HTTP/1.1\r\nHost: qlive\r\n"),
        (
            "client_body_timeout",
            f"POST {BASE}qlive_like/ HTTP/1.1\r\nHost: qlive\r\nContent-Length: 9\r\n\r\na",
        ),
    ],
)
@pytest.mark.gen_test(timeout=30)
async def test_a_request_that_is_sent_too_slowly_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, timeout: str, sent: str
) -> None:
    upstream, changes = ClosingUpstream(), {f"{timeout} 10s": f"{timeout} 200ms"}
    async with (
        upstream.running() as port,
        nginx_in_front(tmp_path, port, port, monkeypatch, changes) as (_, front_api),
    ):
        reader, writer = await front_api.connect()
        writer.write(sent.encode())
        with suppress(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 5)
        writer.close()
        assert upstream.heads == []
