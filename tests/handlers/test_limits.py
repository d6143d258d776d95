"""Rate limits of every call, per user and per address."""

import time
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from structlog.testing import capture_logs
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from core.limits import Rate, TokenBuckets
from handlers.accounts.sign_in import LogoutHandler
from handlers.base import LOGGED_PATH, MAX_BODY_BYTES, ActiveUserHandler
from handlers.callback_base import CallbackHandler
from handlers.limits import (
    ADDRESS_FACTOR,
    MAX_IN_PROGRESS,
    RATES,
    AddressLimit,
    RequestLimits,
    UserLimit,
)
from handlers.openapi.endpoints import endpoints
from handlers.operator_base import OperatorHandler
from handlers.operators.login import LoginAttemptHandler
from handlers.request_data import limit_key, remote_ip
from handlers.routes import ROUTES
from handlers.websocket.handshake import RoomSocketHandler
from rooms.events import LOG_SIZE
from runtime.process import ServerProcess
from telemetry.metrics import Metrics
from tests.support import openapi_checks
from tests.support.api import BASE, ApiClient, ApiFixture, Reply
from tests.support.no_limits import set_limits

CHANGES, READS, ORDERS = 6, 2, 3
"""Requests of a user before the first refusal; no bucket gets a second token within a test."""
LOGINS = 2
"""Logins of an address in progress."""
ANONYMOUS = ADDRESS_FACTOR
"""The same of an address."""
LOGIN, LIKE = f"{BASE}qlive_user/login/", f"{BASE}qlive_like/"
OTHER_ADDRESS = {"X-Forwarded-For": "198.51.100.7"}
FULL_LOG_SECONDS = 60
HOSTILE_ACCOUNTS = 5


@pytest.fixture
def server(server: ServerProcess) -> ServerProcess:
    """A server with limits that a test reaches."""
    set_limits(
        server.context,
        logins=LOGINS,
        room_change=Rate(0.001, CHANGES),
        read=Rate(0.001, READS),
        order=Rate(0.001, ORDERS),
        **dict.fromkeys(("profile", "gift", "like", "anonymous"), Rate(0.001, 1)),
    )
    return server


async def statuses(count: int, client: ApiClient, path: str, **params: Any) -> list[int]:
    """Statuses of `count` POST requests, one after another."""
    return [(await client.post(path, **params)).status for _ in range(count)]


async def guess(api: ApiFixture, token: str, **headers: str) -> Reply:
    headers = {"Authorization": f"Bearer {token}", **headers}
    return await api.request("GET", "/ops/api/rooms", headers=headers)


def test_every_endpoint_has_a_limit_class_or_another_guard_and_describes_it() -> None:
    guarded_otherwise = (CallbackHandler, RoomSocketHandler, OperatorHandler, LoginAttemptHandler)
    document, unlimited = openapi_checks.document(), set()
    for found in endpoints(ROUTES):
        operation = document["paths"][found.path][found.method]
        limit = found.call.limit
        is_cached = getattr(found.handler, "read_only", False)
        assert limit == "read" or not is_cached, "a change reads its token from the database"
        if limit:
            assert "429" in operation["responses"]
            assert f"Limit `{limit}` of " in operation["description"]
            of_users = issubclass(found.handler, ActiveUserHandler | LogoutHandler)
            of_address = (*get_args(AddressLimit), "login")
            assert limit in (get_args(UserLimit) if of_users else of_address), found.name
        elif not issubclass(found.handler, guarded_otherwise):
            unlimited.add(found.path)
    assert unlimited == {"/healthz", "/readyz", "/metrics"}
    described = [document["paths"][path]["post"]["description"] for path in (LOGIN, LIKE)]
    assert described[0].endswith("Limit `login` of an address: by default 80 in progress.")
    assert described[1].endswith("of a user: by default 1 a second, and 10 at once.")
    assert {*RATES} == {*get_args(UserLimit), *get_args(AddressLimit)}


def test_five_flooding_accounts_cannot_fill_the_log_of_a_room_in_a_minute() -> None:
    """By default, with one event a call; a quarter of the log is left to the other users."""
    events = 0
    for name in ("room_change", "profile"):
        buckets = TokenBuckets(RATES[name])
        for step in range(FULL_LOG_SECONDS * 20):
            events += sum(
                not buckets.take(f"account {n}", step / 20) for n in range(HOSTILE_ACCOUNTS)
            )
    assert 100 < events < LOG_SIZE * 3 // 4


def test_a_factor_multiplies_every_rate_and_keeps_the_bursts() -> None:
    limits = RequestLimits(0.5, Metrics())
    burst = RATES["order"].burst
    waits = [limits.take("order", "user", "anna") for _ in range(burst + 1)]
    assert waits[:burst] == [0] * burst
    assert waits[burst] == pytest.approx(2 / RATES["order"].per_second, rel=0.01)


def test_a_factor_of_zero_switches_every_limit_of_requests_off() -> None:
    limits = RequestLimits(0, Metrics())
    for _ in range(2 * ADDRESS_FACTOR * max(rate.burst for rate in RATES.values())):
        limits.begin("order", "anna")
        limits.begin_login("192.0.2.1")
        limits.count_operator_login("anna", "192.0.2.1")
        assert not limits.take("handshake", "address", "192.0.2.1")


def test_an_ipv6_network_of_one_customer_shares_a_bucket() -> None:
    for first, second in (
        ("2001:db8:1:2:3::4", "2001:db8:1:2::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::2%eth0"),
        ("x" * 64 + "a", "x" * 64 + "b"),
    ):
        assert limit_key(first) == limit_key(second)
    separate = ("192.0.2.1", "192.0.2.2", "2001:db8:1:2::1", "2001:db8:1:3::1", "a:b", "a:c")
    assert len({*map(limit_key, separate)}) == len(separate)


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:5555", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("203.0.113.9, 192.0.2.1:5555, 10.0.0.1:80", "192.0.2.1"),
        ("unknown:80", "unknown:80"),
    ],
)
def test_port_that_a_proxy_adds_to_an_address_is_ignored(forwarded: str, address: str) -> None:
    of_proxy = SimpleNamespace(remote_ip="10.0.0.1", protocol="http")
    connection: Any = SimpleNamespace(context=of_proxy)
    line = RequestStartLine("GET", "/", "HTTP/1.1")
    headers = HTTPHeaders({"Host": "qlive.example", "X-Forwarded-For": forwarded})
    request = HTTPServerRequest(start_line=line, headers=headers, connection=connection)
    assert remote_ip(request, {"10.0.0.1"}) == address


# ---- of a user


async def test_changes_of_a_room_are_refused_after_the_burst_but_the_host_can_end_the_live(
    api: ApiFixture, db: Any
) -> None:
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    for action in ("apply", "refuse") * (CHANGES // 2):
        reply = await bert.post(f"qlive_room/{action}_micro/", live_id=host.live_id)
    assert reply.refusal == (429, "too_many")
    assert 900 < int(reply.headers["Retry-After"]) <= 1000
    assert db.rooms.find_one()["version"] == CHANGES - 1  # entering was the first change
    entered = await statuses(CHANGES, host, "qlive_room/matchmaker_enter/")
    assert entered == [200] * (CHANGES - 1) + [429]  # the first was in `api.host`
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()


# ---- of an address


CALLBACK = f"{BASE}qlive_pay/xpay_notify/"
OF_AN_ADDRESS: list[tuple[str, str, dict[str, Any], int]] = [
    ("GET", f"{BASE}get_configs/", {}, 401),
    ("GET", f"{BASE}ws/?live_id=1", {}, 400),
    ("GET", f"/nowhere/{'x' * 5_000}", {}, 404),
    ("PUT", f"{BASE}get_configs/", {}, 405),
    ("GET", CALLBACK, {}, 403),
    ("POST", CALLBACK, {"data": "x" * (MAX_BODY_BYTES + 1)}, 413),
]
"""Method, path, options and status of requests that have no valid token."""


async def test_requests_without_a_valid_token_count_for_their_address(api: ApiFixture) -> None:
    with capture_logs() as logs:
        for n, (method, path, options, status) in enumerate(OF_AN_ADDRESS):
            headers = {"X-Forwarded-For": f"198.51.100.{n}"}
            found = [
                (await api.request(method, path, headers=headers, **options)).status
                for _ in range(ADDRESS_FACTOR + 1)
            ]
            assert found == [status] * ADDRESS_FACTOR + [429], path
    paths = [entry["path"] for entry in logs if entry["event"] == "request_completed"]
    assert max(len(path) for path in paths) == LOGGED_PATH, "long paths are cut"


async def test_an_address_has_a_bounded_number_of_logins_in_progress_and_no_rate_of_them(
    api: ApiFixture, server: ServerProcess
) -> None:
    async def log_in(**headers: str) -> Reply:
        bogus = {"appId": "wxca891295c56f2c79", "code": "bogus"}
        return await api.request("POST", LOGIN, json=bogus, headers=headers)

    limits = server.context.request_limits
    ended = [(await log_in()).status for _ in range(ADDRESS_FACTOR * 2)]
    assert ended == [401] * ADDRESS_FACTOR * 2
    for _ in range(LOGINS):
        limits.begin_login("127.0.0.1")
    refused = await log_in()
    assert (refused.refusal, refused.headers["Retry-After"]) == ((429, "too_many"), "1")
    assert (await log_in(**OTHER_ADDRESS)).status == 401
    limits.end("127.0.0.1")
    assert (await log_in()).status == 401
    requests = (await api.request("GET", "/sim/log")).ok()["items"]
    reached = sum("jscode2session" in str(request) for request in requests)
    assert reached == len(ended) + 2, "the refused login does not reach WeChat"


async def test_wrong_tokens_count_for_the_address_and_requests_of_its_users_do_not(
    api: ApiFixture,
) -> None:
    anna = await api.user("anna", 2)
    statuses = [(await anna.get("get_configs/")).status for _ in range(ANONYMOUS)]
    assert statuses.count(429) == ANONYMOUS - READS
    wrong = [{"Authorization": f"QLiveToken {n:040x}"} for n in range(ANONYMOUS + 3)]
    path = f"{BASE}get_configs/"
    found = [(await api.request("GET", path, headers=headers)).status for headers in wrong]
    assert found == [401] * ANONYMOUS + [429] * 3
    assert (await anna.post("qlive_pay/", block_id=1)).status == 200
    bert = await api.user("bert", 1)
    assert (await bert.get("get_configs/")).status == 200


async def test_revoked_token_counts_for_the_address_and_not_for_its_user(api: ApiFixture) -> None:
    stolen = await api.user("anna", 2)
    for _ in range(READS + 3):
        assert (await stolen.get("qlive_user/logout/")).status == 200
    anna = await api.user("anna", 2)
    assert [(await anna.get("get_configs/")).status for _ in range(READS)] == [
        *[200] * (READS - 1),  # the first logout was with a valid token
        429,
    ]
    repeated = [(await stolen.get("qlive_user/logout/")).status for _ in range(ANONYMOUS)]
    assert repeated.count(429) == READS + 2


async def test_requests_of_a_user_in_progress_are_bounded(
    api: ApiFixture, server: ServerProcess
) -> None:
    anna, bert = await api.user("anna", 2), await api.user("bert", 1)
    limits = RequestLimits(1, Metrics())
    server.context.request_limits = limits
    for n in range(MAX_IN_PROGRESS - 1):
        limits.begin("order" if n < 5 else "read", anna.id)
    assert [(await anna.get("get_configs/")).status for _ in range(2)] == [200, 200]
    limits.begin("gift", anna.id)
    refused = await anna.get("get_configs/")
    assert (refused.refusal, refused.headers["Retry-After"]) == ((429, "too_many"), "1")
    assert (await bert.get("get_configs/")).status == 200
    limits.end(anna.id)
    assert (await anna.get("get_userinfo/")).status == 404
    assert (await anna.get("get_configs/")).status == 200


async def test_refused_requests_are_counted_and_logged_once_in_a_while(
    api: ApiFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = await api.user("anna", 2)
    with capture_logs() as logs:
        for _ in range(READS + 5):
            await anna.get("get_configs/")
    completed = [entry["status"] for entry in logs if entry.get("path", "").endswith("configs/")]
    assert completed == [200] * READS
    (limited,) = [entry for entry in logs if entry["event"] == "requests_limited"]
    assert (limited["limit"], limited["by"], limited["user_id"]) == ("read", "user", anna.id)
    later = time.monotonic() + 11
    monkeypatch.setattr("handlers.limits.time", SimpleNamespace(monotonic=lambda: later))
    with capture_logs() as logs:
        await anna.get("get_configs/")
    (limited,) = [entry for entry in logs if entry["event"] == "requests_limited"]
    assert limited["refused"] == 5, "four after the first line, and this one"
    metrics = await api.metrics()
    assert metrics['qlive_requests_limited_total{by="user",class="read"}'] == 6
    assert metrics['qlive_requests_total{method="GET",route="GetConfigs",status="429"}'] == 6


async def test_wrong_operators_tokens_are_logged_and_then_refused_without_a_line(
    api: ApiFixture,
) -> None:
    token = await api.operator_token()
    with capture_logs() as logs:
        replies = [await guess(api, f"wrong {n}") for n in range(ANONYMOUS + 4)]
    assert [reply.status for reply in replies] == [401] * ANONYMOUS + [429] * 4
    wrong = [entry for entry in logs if entry["event"] == "operator_token_refused"]
    assert [entry["address"] for entry in wrong] == ["127.0.0.1"] * ANONYMOUS
    metrics = await api.metrics()
    assert metrics["qlive_operator_tokens_refused_total"] == ANONYMOUS
    assert metrics['qlive_requests_limited_total{by="address",class="anonymous"}'] == 4
    ended = await guess(api, f"{1:064x}", **OTHER_ADDRESS)
    assert ended.status == 401
    assert (await api.metrics())["qlive_operator_tokens_refused_total"] == ANONYMOUS, "no guess"
    assert (await guess(api, token)).status == 200, "a session goes on"


async def test_reconnecting_too_often_is_closed_with_a_code_that_lets_the_client_return(
    api: ApiFixture,
) -> None:
    host = await api.host()
    for _ in range(READS):
        assert (await (await host.connect()).frame())["type"] == "snapshot"
    socket = await host.connect()
    bye = await socket.frame()
    assert (bye["type"], bye["code"], bye["reconnect"]) == ("bye", 4029, True)
    assert 900_000 < bye["retry_ms"] < 1_002_000
    assert await socket.close_code() == 4029
