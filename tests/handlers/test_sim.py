"""The simulator's door: at home, and in a worker that has it elsewhere."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from tornado.httpserver import HTTPServer

import assembly
from handlers.sim import stage
from listening import address_of, listen
from server import Server
from tencent.simulator import relay
from tencent.simulator.relay import Relay
from tests.phones import Street

AT_HOME, ELSEWHERE = "at home", "elsewhere"
either_way = pytest.mark.parametrize("where", [AT_HOME, ELSEWHERE])
DOOR = pytest.mark.gen_test(timeout=20)


@asynccontextmanager
async def the_simulator(server: Server, where: str) -> AsyncIterator[None]:
    """The server's own, or one on a server of its own to which it relays."""
    if where == AT_HOME:
        yield
        return
    sockets = listen("127.0.0.1", 0)
    assert server._dev
    played = HTTPServer(
        stage(assembly.make_simulator(server.settings, server._dev, server.address))
    )
    played.add_sockets(sockets)
    server.parts.simulator = Relay(address_of("127.0.0.1", sockets))
    yield
    played.stop()
    await played.close_all_connections()


@DOOR
@either_way
async def test_a_phone_is_given_what_wx_login_gives(
    server: Server, street: Street, where: str
) -> None:
    async with the_simulator(server, where):
        given = await street.wechat("红娘 & 100%", 2)
        assert set(given) == {"appId", "code", "encryptedData", "iv"}


@DOOR
@either_way
async def test_query_and_path_arrive_as_they_were_sent(
    server: Server, street: Street, where: str
) -> None:
    async with the_simulator(server, where):
        app_id, app = next(iter(server.settings.wechat.apps.items()))
        given = await street.wechat("anna")
        query = {"appid": app_id, "secret": app.secret, "grant_type": "authorization_code"}
        query["js_code"] = given["code"]
        redeemed = await street.ask("GET", "/sim/sns/jscode2session", params=query)
        assert redeemed.headers["Content-Type"] == "text/plain"
        assert set(redeemed.json) == {"session_key", "openid"}
        again = await street.ask("GET", "/sim/sns/jscode2session", params=query)
        assert again.json["errcode"] == 40163


@DOOR
@either_way
async def test_what_the_played_services_sign_stays_signed(
    server: Server, street: Street, where: str
) -> None:
    async with the_simulator(server, where):
        refused = await street.ask("POST", "/sim/v3/pay/transactions/jsapi", json={})
        assert (refused.status, refused.json["code"]) == (401, "SIGN_ERROR")
        assert refused.headers["Wechatpay-Serial"] == server.settings.pay.public_key_id
        assert refused.headers["Content-Type"] == "application/json"


@DOOR
@either_way
@pytest.mark.parametrize("status", [204, 304, 404, 500, 503])
async def test_a_played_outage_has_the_status_it_was_given(
    server: Server, street: Street, where: str, status: int
) -> None:
    async with the_simulator(server, where):
        await street.outage("wechat", status=status)
        played = await street.ask("GET", "/sim/sns/jscode2session")
        assert played.status == status
        assert (played.text == "") == (status in (204, 304))


@DOOR
@either_way
async def test_what_is_not_played_is_not_found(server: Server, street: Street, where: str) -> None:
    async with the_simulator(server, where):
        strange = await street.ask("GET", "/sim/a%20b%25/c")
        assert (strange.status, strange.json) == (
            404,
            {"detail": "the simulator does not play this"},
        )


@DOOR
@either_way
async def test_a_body_beyond_all_measure_is_refused(
    server: Server, street: Street, where: str
) -> None:
    async with the_simulator(server, where):
        refused = await street.ask("POST", "/sim/phone/login", data=b"x" * 70_000)
        assert refused.refusal == (413, "too_large")


@DOOR
async def test_a_simulator_that_is_gone_is_said_to_be_away(server: Server, street: Street) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        server.parts.simulator = Relay(f"http://127.0.0.1:{free.getsockname()[1]}")
    away = await street.ask("POST", "/sim/phone/login", json={"name": "anna"})
    assert away.refusal == (503, "simulator_away")
    assert away.headers["Retry-After"] == "2"


@DOOR
async def test_a_simulator_that_says_nothing_is_not_waited_for_for_ever(
    server: Server, street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "RELAY_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server.parts.simulator = Relay(f"http://127.0.0.1:{silent.getsockname()[1]}")
        away = await street.ask("GET", "/sim/log")
    assert away.refusal == (503, "simulator_away")


@DOOR
async def test_the_host_that_was_asked_is_what_the_simulator_hears(
    server: Server, street: Street
) -> None:
    heard: list[Any] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        body = json.dumps({"items": []}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: %d\r\n\r\n" % len(body))
        writer.write(body)
        writer.close()

    played = await asyncio.start_server(hear, "127.0.0.1", 0)
    port = played.sockets[0].getsockname()[1]
    server.parts.simulator = Relay(f"http://127.0.0.1:{port}")
    async with aiohttp.ClientSession() as http:
        headers = {"X-TC-Action": "DropLiveStream", "Authorization": "TC3"}
        async with http.get(f"{server.address}/sim/log", headers=headers) as answer:
            assert (answer.status, "Server" in answer.headers) == (200, False)
    lines = heard[0].decode().lower().split("\r\n")
    assert f"host: {server.address.removeprefix('http://')}" in lines
    assert {"x-tc-action: droplivestream", "authorization: tc3"} <= set(lines)
    played.close()
    await played.wait_closed()
