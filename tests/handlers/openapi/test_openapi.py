"""The OpenAPI document matches the routes, its examples work, and its page needs no other host."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from openapi_pydantic import OpenAPI

from devtools.simulator_handler import SimulatorHandler
from handlers.base import Handler, methods_of
from handlers.health import AliveResponse
from handlers.openapi.schemas import PLACEHOLDERS
from handlers.pages import POLICY, DocumentHandler, StaticHandler, openapi_text
from handlers.routes import BASE, ROUTES, application
from realtime import frames
from rooms.events import NumberedEvent
from runtime.process import ServerProcess
from tests.support import openapi_checks
from tests.support.api import ApiClient, ApiFixture, Reply
from tests.support.openapi_checks import references, resolve
from tests.support.server_program import ServerProgram
from tests.support.waiting import until

PATH_PARAMETER = "12345678"


@pytest.fixture
def document() -> dict[str, Any]:
    return openapi_checks.document()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and operation of each."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


async def test_every_method_of_every_route_is_documented(
    server: ServerProcess, document: dict[str, Any]
) -> None:
    documented = {
        (re.sub(r"{\w+}", PATH_PARAMETER, path), method) for path, method, _ in operations(document)
    }
    count = 0
    for rule in application(server.context).wildcard_router.rules:
        # The simulator stands in for other services; the others are files and the document itself.
        if issubclass(rule.target, SimulatorHandler | StaticHandler | DocumentHandler):
            continue
        assert issubclass(rule.target, Handler)
        for method in methods_of(rule.target):
            found = [path for path, its_method in documented if its_method == method]
            [_] = filter(rule.matcher.regex.fullmatch, found)
            count += 1
    assert count == len([path for path, _ in documented if not path.startswith("/sim/")])


def test_document_is_valid_openapi_and_its_references_resolve(document: dict[str, Any]) -> None:
    OpenAPI.model_validate(document)
    assert document["openapi"].startswith("3.1.")
    for reference in references(document):
        assert resolve(document, reference)
    names = [operation["operationId"] for *_, operation in operations(document)]
    assert len(set(names)) == len(names)


def test_operations_have_summaries_tags_examples_and_the_roles_of_operators(
    document: dict[str, Any],
) -> None:
    """Swagger UI fills its form with the example of the parameter, not of its schema."""
    tags = {tag["name"] for tag in document["tags"]}
    for path, _, operation in operations(document):
        assert operation["summary"].endswith("."), path
        assert set(operation["tags"]) <= tags
        if operation["security"] == [{"operator": []}]:
            assert "Roles: `" in operation["description"], path
        for parameter in operation.get("parameters", ()):
            assert "example" in parameter or not parameter["required"], path
        for content in operation.get("requestBody", {}).get("content", {}).values():
            assert "example" in content, path
    summaries = [
        operation["summary"]
        for path, _, operation in operations(document)
        if path != GIFT_LIST_ALIAS
    ]
    assert len(set(summaries)) == len(summaries)
    grant = document["paths"]["/ops/api/users/{user_id}/grant"]["post"]
    assert grant["description"].endswith("Roles: `finance`, `admin`.")
    socket = document["paths"][f"{BASE}ws/"]["get"]
    assert "/docs/socket/" in socket["description"]


def test_statuses_and_errors_are_documented_only_where_they_occur(document: dict[str, Any]) -> None:
    give = _codes(document, f"{BASE}qlive_gift/push_gift/", "get")
    assert {"banned", "request_id_reused", "no_such_gift", "no_such_user"} < give
    assert not give & {"ops_token", "callback_refused", "wechat_code", "not_live"}
    assert "insufficient_gold" not in give, "its status is 200"
    assert "banned" not in _codes(document, f"{BASE}qlive_room/matchmaker_enter/", "post")
    accepted = set()
    for path, method, operation in operations(document):
        codes = _codes(document, path, method)
        assert ("ops_token" in codes) == (operation["security"] == [{"operator": []}]), path
        assert ("callback_refused" in codes) == ("callbacks" in operation["tags"]), path
        if "202" in operation["responses"]:
            accepted.add(path.removeprefix("/ops/api/"))
    assert accepted == {
        *("users/{user_id}/grant", "users/{user_id}/settle", "ledger/reverse"),
        *("blocks", "blocks/{number}", "configs", "configs/{number}"),
    }, "what may wait for a second operator"


def _codes(document: dict[str, Any], path: str, method: str) -> set[str]:
    responses = document["paths"][path][method]["responses"].values()
    found = [resolve(document, response["$ref"]) for response in responses if "$ref" in response]
    return {
        code for response in found for code in response["content"]["application/json"]["examples"]
    }


async def test_command_line_prints_the_document_and_production_omits_the_simulator(
    document: dict[str, Any], tmp_path: Path
) -> None:
    status, output, stderr = await ServerProgram(tmp_path).run("openapi")
    assert (status, stderr) == (0, "")
    assert json.loads(output) == document
    assert "/sim/" in output
    in_production = openapi_text(ROUTES)
    assert "/sim/" not in in_production
    assert '"simulator"' not in in_production


async def test_docs_page_loads_only_local_resources(
    api: ApiFixture, document: dict[str, Any]
) -> None:
    page = await api.request("GET", "/docs/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Content-Security-Policy"] == POLICY
    assert POLICY.startswith("default-src 'self';")
    assert "http" not in POLICY
    urls = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    assert len(urls) == 4
    assert "//" not in page.text
    for url in (*urls, "/docs", "/docs/socket"):
        method = "HEAD" if url.endswith(".png") else "GET"  # a Reply is text
        assert (await api.request(method, url)).status == 200, url
    script = await api.request("GET", "/docs/start.js")
    assert re.findall(r'url: "([^"]*)"', script.text) == ["/docs/openapi.json"]
    assert "validatorUrl: null" in script.text
    assert (await api.request("GET", "/docs/openapi.json")).ok() == document
    for name in ("index.html", "swagger-ui.js", "../flask_swagger_ui.py"):
        assert (await api.request("GET", f"/docs/{name}")).status == 404, name


# ---- examples


@pytest.fixture
def demo_users() -> bool:
    """The examples use demo users."""
    return True


GIFT_LIST_ALIAS = "/wx/api/qlive/get_giftlist/"
SKIPPED_OPERATIONS = {
    "users.Logout.get": "revokes the token of the test",
    "socket.RoomSocket.get": "requires a WebSocket client",
    "ops.login.Session.delete": "ends the session of the test",
    "ops.login.Account.patch": "requires the operator's password",
}
REFUSALS = {
    *("income_not_matured", "no_such_approval", "no_such_block", "no_such_operator"),
    *("no_such_order", "no_such_refund", "no_such_thing", "no_such_withdrawal"),
    *("not_owed", "ops_login"),
}
"""Codes with which examples are refused, as there is nothing to work on."""


async def test_every_example_can_be_executed_by_host_guest_or_operator(
    api: ApiFixture, document: dict[str, Any]
) -> None:
    host, guest = await api.host("hongniang1"), await api.user("秀英", 2, gold=100)
    values = await _response_values(host, guest) | await api.wechat(host.name, 2)
    executed = 0
    await _prepare_room(host, guest)
    # DELETE comes last.
    for path, method, operation in sorted(
        operations(document), key=lambda entry: entry[1] == "delete"
    ):
        name = operation["operationId"]
        if name in SKIPPED_OPERATIONS or "callbacks" in operation["tags"]:  # need a signature
            continue
        outcomes = list[str]()
        for client, other in ((host, guest), (guest, host), (host, guest)):
            known = {**values, "user_id": other.id}
            outcomes.append(_refusal(await _execute(client, method, path, operation, known)))
            if outcomes[-1] in ("", *REFUSALS):
                break
            # An earlier example has ended what this one needs, or it is for the other user.
            await _prepare_room(host, guest)
            values |= await api.wechat(host.name, 2)
        assert outcomes[-1] in ("", *REFUSALS), (name, outcomes)
        executed += outcomes[-1] == ""
    assert executed > 55


async def _response_values(host: ApiClient, guest: ApiClient) -> dict[str, Any]:
    """Values that responses return: an order, a ledger entry, a payment notification."""
    first, second = [(await guest.post("qlive_pay/", block_id=n)).ok() for n in (1, 2)]
    payment = {"content": first["content"]}
    (await guest.api.request("POST", "/sim/phone/pay", json=payment)).ok()
    entries = (await guest.api.ops("GET", "ledger?kind=grant")).ok()["items"]

    async def received() -> Any:
        return (await guest.api.ops("GET", "inbox?source=jsapi")).ok()["items"]

    notifications = await until(received)
    return {
        "content": second["content"],
        "package": "of no bill",
        "live_id": host.live_id,
        "entry": entries[0]["id"],
        "id": notifications[0]["id"],
    }


async def _prepare_room(host: ApiClient, guest: ApiClient) -> None:
    """Make the room live, with the guest in it as an applicant or on mic."""
    (await host.post("qlive_room/matchmaker_enter/")).ok()
    room_ban = {"user_id": guest.id, "reason": "test"}
    (await host.api.ops("POST", f"rooms/{host.live_id}/let_in", **room_ban)).ok()
    (await guest.get("get_playurl/", live_id=host.live_id)).ok()
    await guest.post("qlive_room/apply_micro/", live_id=host.live_id)  # refused if on mic


async def _execute(
    client: ApiClient, method: str, path: str, operation: Any, values: dict[str, Any]
) -> Reply:
    """Send the request that Swagger UI sends: the examples, with placeholders filled in."""

    def filled_in(name: str, value: Any) -> Any:
        return values.get(name, value) if value == PLACEHOLDERS.get(name) else value

    headers = client.headers
    if operation["security"] == [{"operator": []}]:
        headers = {"Authorization": f"Bearer {await client.api.operator_token()}"}
    query = {}
    for parameter in operation.get("parameters", ()):
        if "example" in parameter:
            name = parameter["name"]
            value = filled_in(name, parameter["example"])
            if parameter["in"] == "path":
                path = path.replace(f"{{{name}}}", str(value))
            else:
                query[name] = value
    content = operation.get("requestBody", {}).get("content", {})
    body = content.get("application/json", {}).get("example")
    if body is not None:
        body = {name: filled_in(name, value) for name, value in body.items()}
    return await client.api.request(method.upper(), path, params=query, json=body, headers=headers)


def _refusal(reply: Reply) -> str:
    """The error code if the request was refused, also with status 200; else ""."""
    is_json = reply.headers["Content-Type"].startswith("application/json")
    body = reply.json if is_json else None
    if isinstance(body, dict) and "detail" in body and "code" in body:
        return str(body["code"])
    assert reply.status == 200, reply
    return ""


# ---- the check of all responses and frames in the tests


async def test_responses_and_frames_are_checked_for_every_http_client(
    server: ServerProcess, openapi_violations: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client is plain aiohttp instead of ApiFixture, as a browser or the SDK would be."""
    monkeypatch.setattr(AliveResponse, "model_dump_json", lambda *_a, **_kw: '{"status": "well"}')
    async with aiohttp.request("GET", f"{server.address}/healthz") as response:
        assert await response.json() == {"status": "well"}, "sent in spite of the violation"
    for status, text in ((201, '{"like_state": 1}'), (200, '{"like_state": 1, "more": 1}')):
        with pytest.raises(AssertionError, match="described"):
            openapi_checks.check_response(
                "GET", f"{BASE}qlive_like/", status, "application/json", text
            )
    frames.event(1, NumberedEvent("e", 1, 1, "live_pause", {}))
    violations = [line.partition(" not as")[0] for line in openapi_violations]
    openapi_violations.clear()
    assert violations == ["GET /healthz answered 200", "the frame live_pause"]
