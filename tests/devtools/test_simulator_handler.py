"""HTTP access to the simulator, in the same process and through a relay."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tornado.httpserver import HTTPServer

from devtools import simulator_handler
from devtools.simulator.simulator import Simulator
from devtools.simulator_handler import RemoteSimulator
from runtime.process import ServerProcess, address_of, listen
from tests.support.api import ApiFixture
from tests.support.tencent import responder_application

LOCAL, REMOTE = "local", "remote"
local_and_remote = pytest.mark.parametrize("location", [LOCAL, REMOTE])


def relay_to(server: ServerProcess, address: str) -> None:
    """Let the server use the simulator at an address, as one that has joined another."""
    assert server.simulator
    server.simulator.answer = RemoteSimulator(address).answer  # type: ignore[method-assign]


@asynccontextmanager
async def simulator_at(server: ServerProcess, location: str) -> AsyncIterator[None]:
    """The simulator of `server`, or one on another HTTP server to which it relays."""
    if location == LOCAL:
        yield
        return
    sockets = listen("127.0.0.1", 0)
    assert server._dev
    simulator = Simulator(server.settings, server._dev, server.address)
    remote = HTTPServer(responder_application(simulator.answer))
    remote.add_sockets(sockets)
    relay_to(server, address_of("127.0.0.1", sockets))
    yield
    remote.stop()
    await remote.close_all_connections()


@local_and_remote
async def test_login_returns_the_fields_of_wx_login(
    server: ServerProcess, api: ApiFixture, location: str
) -> None:
    async with simulator_at(server, location):
        login = await api.wechat("红娘 & 100%", 2)
        assert set(login) == {"appId", "code", "encryptedData", "iv"}


@local_and_remote
async def test_query_and_path_are_relayed_unchanged(
    server: ServerProcess, api: ApiFixture, location: str
) -> None:
    async with simulator_at(server, location):
        app_id, app = next(iter(server.settings.wechat.apps.items()))
        login = await api.wechat("anna")
        query = {"appid": app_id, "secret": app.secret, "grant_type": "authorization_code"}
        query["js_code"] = login["code"]
        exchanged = await api.request("GET", "/sim/sns/jscode2session", params=query)
        assert exchanged.headers["Content-Type"] == "text/plain"
        assert set(exchanged.json) == {"session_key", "openid"}
        again = await api.request("GET", "/sim/sns/jscode2session", params=query)
        assert again.json["errcode"] == 40163


@local_and_remote
async def test_simulated_outage_has_the_requested_status(
    server: ServerProcess, api: ApiFixture, location: str
) -> None:
    async with simulator_at(server, location):
        for status in (404, 500, 503):
            await api.outage("wechat", status=status)
            reply = await api.request("GET", "/sim/sns/jscode2session")
            assert reply.status == status


@local_and_remote
async def test_unknown_path_is_404(server: ServerProcess, api: ApiFixture, location: str) -> None:
    async with simulator_at(server, location):
        reply = await api.request("GET", "/sim/a%20b%25/c")
        assert (reply.status, reply.json) == (
            404,
            {"detail": "the simulator does not play this"},
        )


@local_and_remote
async def test_oversized_body_is_413(server: ServerProcess, api: ApiFixture, location: str) -> None:
    async with simulator_at(server, location):
        refused = await api.request("POST", "/sim/phone/login", data=b"x" * 70_000)
        assert refused.refusal == (413, "too_large")


async def test_unreachable_simulator_is_503(server: ServerProcess, api: ApiFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        relay_to(server, f"http://127.0.0.1:{free.getsockname()[1]}")
    reply = await api.request("POST", "/sim/phone/login", json={"name": "anna"})
    assert reply.refusal == (503, "simulator_away")
    assert reply.headers["Retry-After"] == "2"


async def test_silent_simulator_is_503_after_a_timeout(
    server: ServerProcess, api: ApiFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulator_handler, "REQUEST_TIMEOUT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        relay_to(server, f"http://127.0.0.1:{silent.getsockname()[1]}")
        reply = await api.request("GET", "/sim/log")
    assert reply.refusal == (503, "simulator_away")
