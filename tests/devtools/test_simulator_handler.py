"""HTTP access to a simulator through a relay; all other tests show that without one."""

import socket

import pytest
from tornado.httpserver import HTTPServer

from devtools import simulator_handler
from devtools.simulator.simulator import Simulator
from devtools.simulator_handler import RemoteSimulator
from runtime.process import address_of, listen
from tests.support.tencent import responder_application


def relay_to(server, address):
    """Lets the server use the simulator at an address, as one that has joined another."""
    server.simulator.answer = RemoteSimulator(address).answer


@pytest.fixture
def relayed(io_loop, server, settings):
    """The simulator is on another HTTP server, to which `server` relays."""
    sockets = listen("127.0.0.1", 0)
    simulator = Simulator(*settings, server.address)
    remote = HTTPServer(responder_application(simulator.answer))
    remote.add_sockets(sockets)
    relay_to(server, address_of("127.0.0.1", sockets))
    yield
    remote.stop()
    io_loop.run_sync(remote.close_all_connections)


@pytest.mark.usefixtures("relayed")
async def test_requests_and_answers_are_relayed_unchanged(server, api):
    app_id, app = next(iter(server.settings.wechat.apps.items()))
    login = await api.wechat("红娘 & 100%", 2)
    assert set(login) == {"appId", "code", "encryptedData", "iv"}
    query = {"appid": app_id, "secret": app.secret, "grant_type": "authorization_code"}
    query["js_code"] = login["code"]
    exchanged = await api.request("GET", "/sim/sns/jscode2session", params=query)
    assert exchanged.headers["Content-Type"] == "text/plain"
    assert set(exchanged.json) == {"session_key", "openid"}
    again = await api.request("GET", "/sim/sns/jscode2session", params=query)
    assert again.json["errcode"] == 40163
    unknown = await api.request("GET", "/sim/a%20b%25/c")
    assert (unknown.status, unknown.json) == (404, {"detail": "the simulator does not play this"})
    oversized = await api.request("POST", "/sim/phone/login", data=b"x" * 70_000)
    assert oversized.refusal == (413, "too_large")
    for status in (404, 500, 503):
        await api.outage("wechat", status=status)
        assert (await api.request("GET", "/sim/sns/jscode2session")).status == status


async def test_unreachable_or_silent_simulator_is_503(server, api, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        relay_to(server, f"http://127.0.0.1:{silent.getsockname()[1]}")
        with monkeypatch.context() as impatient:
            impatient.setattr(simulator_handler, "REQUEST_TIMEOUT_SECONDS", 0.1)
            assert (await api.request("GET", "/sim/log")).refusal == (503, "simulator_away")
    reply = await api.request("POST", "/sim/phone/login", json={"name": "anna"})
    assert reply.refusal == (503, "simulator_away")
    assert reply.headers["Retry-After"] == "2"
