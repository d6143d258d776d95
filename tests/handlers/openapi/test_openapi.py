"""The OpenAPI document matches the routes, its examples work, and its page needs no other host."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from openapi_pydantic import OpenAPI
from tornado.web import RequestHandler

from core.errors import QLiveError
from devtools.simulator_handler import SimulatorHandler
from handlers.base import Handler
from handlers.health import AliveResponse
from handlers.openapi.examples import PLACEHOLDERS
from handlers.pages import POLICY, DocumentHandler, StaticHandler, openapi_text
from handlers.routes import BASE, ROUTES, application
from realtime import frames
from rooms.events import NumberedEvent
from runtime.process import ServerProcess
from tests.support import openapi_checks
from tests.support.api import ApiClient, ApiFixture, Reply
from tests.support.json_references import references, resolve
from tests.support.server_program import ServerProgram
from tests.support.waiting import until

METHODS = ("get", "post", "patch", "put", "delete")
UNDOCUMENTED_HANDLERS = {
    StaticHandler: "files and pages",
    SimulatorHandler: "simulates other services; only its two development endpoints are documented",
    DocumentHandler: "the document itself",
}
PATH_PARAMETER = "12345678"


@pytest.fixture
def document() -> dict[str, Any]:
    return openapi_checks.document()


async def test_every_method_of_every_route_is_documented(
    server: ServerProcess, document: dict[str, Any]
) -> None:
    documented = {
        (re.sub(r"{\w+}", PATH_PARAMETER, path), method)
        for path, operations in document["paths"].items()
        for method in operations
    }
    count = 0
    for rule in application(server.context).wildcard_router.rules:
        if issubclass(rule.target, tuple(UNDOCUMENTED_HANDLERS)):
            continue
        assert issubclass(rule.target, Handler)
        for method in _methods_of(rule.target):
            matching = [operation for operation in documented if _matches(rule, *operation, method)]
            assert len(matching) == 1, (rule.matcher.regex.pattern, method, matching)
            count += 1
    assert count == len([path for path, _ in documented if not path.startswith("/sim/")])


def _methods_of(handler: type[RequestHandler]) -> list[str]:
    return [name for name in METHODS if getattr(handler, name) is not getattr(Handler, name)]


def _matches(rule: Any, path: str, method: str, expected: str) -> bool:
    return method == expected and rule.matcher.regex.fullmatch(path) is not None


def test_document_is_valid_openapi_and_its_references_resolve(document: dict[str, Any]) -> None:
    OpenAPI.model_validate(document)
    assert document["openapi"].startswith("3.1.")
    for reference in references(document):
        assert resolve(document, reference)
    names = [
        operation["operationId"]
        for operations in document["paths"].values()
        for operation in operations.values()
    ]
    assert len(set(names)) == len(names)


def test_every_operation_has_a_summary_and_known_tags(document: dict[str, Any]) -> None:
    tags = {tag["name"] for tag in document["tags"]}
    for operations in document["paths"].values():
        for operation in operations.values():
            assert operation["summary"].endswith("."), operation
            assert set(operation["tags"]) <= tags
        summaries = [operation["summary"] for operation in operations.values()]
        assert len(set(summaries)) == len(summaries), summaries


def test_errors_are_documented_only_where_they_occur(document: dict[str, Any]) -> None:
    give = _codes(document, f"{BASE}qlive_gift/push_gift/", "get")
    assert {"banned", "request_id_reused", "no_such_gift", "no_such_user"} < give
    assert not give & {"ops_token", "callback_refused", "wechat_code", "not_live"}
    assert "insufficient_gold" not in give, "its status is 200"
    assert "banned" not in _codes(document, f"{BASE}qlive_room/matchmaker_enter/", "post")
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            codes = _codes(document, path, method)
            assert ("ops_token" in codes) == (operation["security"] == [{"operator": []}]), path
            assert ("callback_refused" in codes) == ("callbacks" in operation["tags"]), path


def test_what_may_wait_for_a_second_operator_is_documented_with_202(
    document: dict[str, Any],
) -> None:
    found = {
        path
        for path, operations in document["paths"].items()
        for operation in operations.values()
        if "202" in operation["responses"]
    }
    paths = (
        *("users/{user_id}/grant", "users/{user_id}/settle", "ledger/reverse"),
        *("blocks", "blocks/{number}", "configs", "configs/{number}"),
    )
    assert found == {f"/ops/api/{path}" for path in paths}


def test_operations_of_operators_name_their_roles(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if operation["security"] == [{"operator": []}]:
                assert "Roles: `" in operation["description"], path
    grant = document["paths"]["/ops/api/users/{user_id}/grant"]["post"]
    assert grant["description"].endswith("Roles: `finance`, `admin`.")


def test_every_error_is_documented_with_its_detail(document: dict[str, Any]) -> None:
    details = {error.code: error.detail for error in _subclasses(QLiveError)}
    documented: dict[str, str] = {}
    for response in document["components"]["responses"].values():
        examples = response["content"]["application/json"]["examples"]
        documented |= {code: example["summary"] for code, example in examples.items()}
        assert all(
            example["summary"] == example["value"]["detail"] for example in examples.values()
        )
    del documented["bad_parameter"]  # says which parameter
    codes = documented.keys() & details.keys()
    assert len(codes) > 30
    assert {code: details[code] for code in codes} == {code: documented[code] for code in codes}


def _subclasses(error: type[QLiveError]) -> Iterator[type[QLiveError]]:
    for child in error.__subclasses__():
        yield child
        yield from _subclasses(child)


def _codes(document: dict[str, Any], path: str, method: str) -> set[str]:
    responses = document["paths"][path][method]["responses"].values()
    names = [response["$ref"].rpartition("/")[2] for response in responses if "$ref" in response]
    found = [document["components"]["responses"][name] for name in names]
    return {code for it in found for code in it["content"]["application/json"]["examples"]}


def test_schemas_are_as_strict_as_the_handlers(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    nickname = schemas["UpdateUserinfoRequest"]["properties"]["nickname"]["anyOf"][0]
    assert (nickname["minLength"], nickname["maxLength"]) == (1, 20)
    for name in ("RoomRowResponse", "RoomDetailResponse"):
        room = schemas[name]["properties"]["room"]["$ref"].rpartition("/")[2]
        assert {"owner", "male", "female", "applicants"} < set(schemas[room]["required"])


def test_websocket_endpoint_refers_to_its_own_documentation_page(document: dict[str, Any]) -> None:
    description = document["paths"][f"{BASE}ws/"]["get"]["description"]
    assert "cannot" in description
    assert "/docs/socket/" in description


def test_version_is_the_project_version(document: dict[str, Any]) -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    assert document["info"]["version"] == project["version"]


def test_document_without_the_simulator_omits_its_endpoints() -> None:
    text = openapi_text(ROUTES)
    assert "/sim/" not in text
    assert '"simulator"' not in text


@pytest.fixture
def demo_users() -> bool:
    """The examples use demo users."""
    return True


async def test_documented_login_returns_a_working_token(
    api: ApiFixture, document: dict[str, Any]
) -> None:
    login = document["paths"]["/sim/phone/login"]["post"]
    example = login["requestBody"]["content"]["application/json"]["example"]
    wechat_login = (await api.request("POST", "/sim/phone/login", json=example)).ok()
    account = (await api.request("POST", f"{BASE}qlive_user/", json=wechat_login)).ok()
    client = ApiClient(api, "hongniang1", account)
    assert (await client.post("qlive_room/matchmaker_enter/")).ok()["status"] == "ok"


SKIPPED_OPERATIONS = {
    "users.Logout.get": "revokes the token of the test",
    "socket.RoomSocket.get": "requires a WebSocket client",
    "ops.login.Session.delete": "ends the session of the test",
}
SUCCESS = (200, None)
NO_OPERATOR, NO_APPROVAL = (401, "ops_login"), (404, "no_such_approval")
NO_REFUND = (404, "no_such_refund")
NO_WITHDRAWAL = (404, "no_such_withdrawal")
EXPECTED_REFUSALS = {
    "ops.users.SettleDebt.post": (409, "not_owed"),  # no user has debts
    "ops.login.Login.post": NO_OPERATOR,
    "ops.money.Confirm.post": NO_APPROVAL,
    "ops.money.Decline.post": NO_APPROVAL,
    "ops.money.Refunds.post": (404, "no_such_order"),
    "ops.money.OneRefund.get": NO_REFUND,
    "ops.money.ConfirmRefund.post": NO_REFUND,
    "ops.money.DropRefund.post": NO_REFUND,
    "ops.money.SettleRefund.post": NO_REFUND,
    "withdrawals.Withdraw.post": (409, "income_not_matured"),  # nobody has old income
    "withdrawals.CancelWithdrawal.post": NO_WITHDRAWAL,
    "ops.money.ApproveWithdrawal.post": NO_WITHDRAWAL,
    "ops.money.DeclineWithdrawal.post": NO_WITHDRAWAL,
    "ops.login.Setup.post": NO_OPERATOR,
    "ops.login.FirstLogin.post": NO_OPERATOR,
}


async def test_every_example_can_be_executed_by_host_guest_or_operator(
    api: ApiFixture, document: dict[str, Any]
) -> None:
    host, guest = await api.host("hongniang1"), await api.user("秀英", 2, gold=100)
    values = await _response_values(host, guest) | await api.wechat(host.name, 2)
    executed = 0
    await _prepare_room(host, guest)
    for path, operations in document["paths"].items():
        for method, operation in sorted(operations.items(), reverse=True):  # DELETE comes last
            name = operation["operationId"]
            if name in SKIPPED_OPERATIONS or "callbacks" in operation["tags"]:  # need a signature
                continue
            expected, outcomes = EXPECTED_REFUSALS.get(name, SUCCESS), list[Any]()
            for client, other in ((host, guest), (guest, host), (host, guest)):
                known = {**values, "user_id": other.id}
                reply = await _execute_example(client, method, path, operation, known)
                outcomes.append(_outcome(reply))
                if expected in outcomes:
                    break
                # An earlier example has ended what this one needs, or it is for the other user.
                await _prepare_room(host, guest)
                values |= await api.wechat(host.name, 2)
            assert expected in outcomes, (name, outcomes)
            executed += 1
    assert executed > 55


async def _response_values(host: ApiClient, guest: ApiClient) -> dict[str, Any]:
    """Values that responses return: an order, a ledger entry, a payment notification."""
    first, second = [(await guest.post("qlive_pay/", block_id=n)).ok() for n in (1, 2)]
    payment = {"content": first["content"]}
    (await guest.api.request("POST", "/sim/phone/pay", json=payment)).ok()
    entries = (await guest.api.ops("GET", "ledger?kind=grant")).ok()["items"]

    async def received() -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await guest.api.ops("GET", "inbox?source=jsapi")).ok()[
            "items"
        ]
        return items

    notifications = await until(received)
    return {
        "content": second["content"],
        "package": "of no bill",
        "live_id": host.live_id,
        "entry": entries[0]["id"],
        "id": notifications[0]["id"],
        "approval_id": 24 * "0",  # nothing waits
        "case_id": f"R{28 * '0'}",  # nobody asked for a refund
        "withdrawal_id": f"W{28 * '0'}",  # nobody has matured income
    }


async def _prepare_room(host: ApiClient, guest: ApiClient) -> None:
    """Make the room live, with the guest in it as an applicant or on mic."""
    (await host.post("qlive_room/matchmaker_enter/")).ok()
    room_ban = {"user_id": guest.id, "reason": "test"}
    (await host.api.ops("POST", f"rooms/{host.live_id}/let_in", **room_ban)).ok()
    (await guest.get("get_playurl/", live_id=host.live_id)).ok()
    await guest.post("qlive_room/apply_micro/", live_id=host.live_id)  # refused if on mic


async def _execute_example(
    client: ApiClient, method: str, path: str, operation: Any, values: dict[str, Any]
) -> Reply:
    """Send the request that Swagger UI sends: the examples, with placeholders filled in."""
    token = f"QLiveToken {client.token}"
    if operation["security"] == [{"operator": []}]:
        token = f"Bearer {await client.api.operator_token()}"
    parameters = [p for p in operation.get("parameters", ()) if "example" in p]
    arguments = {
        (p["in"], p["name"]): _example_value(p["name"], p["example"], values) for p in parameters
    }
    query = {name: value for (location, name), value in arguments.items() if location == "query"}
    for (location, name), value in arguments.items():
        path = path.replace(f"{{{name}}}", str(value)) if location == "path" else path
    content = operation.get("requestBody", {}).get("content", {})
    body = content.get("application/json", {}).get("example")
    if body is not None:
        body = {name: _example_value(name, value, values) for name, value in body.items()}
    headers = {"Authorization": token}
    return await client.api.request(method.upper(), path, params=query, json=body, headers=headers)


def _example_value(name: str, value: Any, values: dict[str, Any]) -> Any:
    return values[name] if value == PLACEHOLDERS.get(name) else value


def _outcome(reply: Reply) -> tuple[int, str | None]:
    """The status, and the error code if the request was refused, also with status 200."""
    body = reply.json if reply.headers["Content-Type"].startswith("application/json") else None
    refused = isinstance(body, dict) and "detail" in body
    return reply.status, body.get("code") if refused else None


def test_every_required_parameter_has_an_example(document: dict[str, Any]) -> None:
    """Swagger UI fills its form with the example of the parameter, not of its schema."""
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                assert "example" in parameter or not parameter["required"], path
            for content in operation.get("requestBody", {}).get("content", {}).values():
                assert "example" in content, path


async def test_docs_page_loads_only_local_resources(api: ApiFixture) -> None:
    page = await api.request("GET", "/docs/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Content-Security-Policy"] == POLICY
    assert POLICY.startswith("default-src 'self';")
    assert "http" not in POLICY
    urls = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    assert len(urls) == 4
    assert "//" not in page.text
    for url in urls:
        method = "HEAD" if url.endswith(".png") else "GET"  # a Reply is text
        assert (await api.request(method, url)).status == 200, url
    script = await api.request("GET", "/docs/start.js")
    urls_in_script = re.findall(r'url: "([^"]*)"', script.text)
    assert urls_in_script == ["/docs/openapi.json"]
    assert "validatorUrl: null" in script.text


async def test_pages_are_served_with_and_without_a_trailing_slash(api: ApiFixture) -> None:
    for path in ("/docs", "/docs/", "/docs/socket", "/docs/socket/"):
        assert (await api.request("GET", path)).status == 200, path


async def test_other_files_of_the_swagger_package_are_not_served(api: ApiFixture) -> None:
    for name in ("index.html", "swagger-ui.js", "../flask_swagger_ui.py", "x"):
        reply = await api.request("GET", f"/docs/{name}")
        assert reply.refusal == (404, "no_such_thing"), name


async def test_openapi_document_is_served(api: ApiFixture, document: dict[str, Any]) -> None:
    reply = await api.request("GET", "/docs/openapi.json")
    assert reply.headers["Content-Type"].startswith("application/json")
    assert reply.ok() == document


async def test_command_line_prints_the_document(document: dict[str, Any], tmp_path: Path) -> None:
    status, output, stderr = await ServerProgram(tmp_path).run("openapi")
    assert (status, stderr) == (0, "")
    assert json.loads(output) == document


# ---- the check of all responses and frames in the tests


@pytest.mark.parametrize(
    ("status", "content_type", "text"),
    [
        (200, "application/json", '{"like_state": 2}'),
        (200, "application/json", "{}"),
        (200, "application/json", '{"like_state": 1, "more": 1}'),
        (200, "application/json", "<p>"),
        (200, "text/html", '{"like_state": 1}'),
        (201, "application/json", '{"like_state": 1}'),
        (404, "application/json", '{"detail": "There is no such user."}'),
        (404, "application/json", '{"detail": "There is no such gift.", "code": "no_such_gift"}'),
    ],
)
def test_response_check_rejects_undocumented_responses(
    status: int, content_type: str, text: str
) -> None:
    with pytest.raises(AssertionError, match="described"):
        openapi_checks.check_response("GET", f"{BASE}qlive_like/", status, content_type, text)


def test_response_check_accepts_documented_responses() -> None:
    openapi_checks.check_response(
        "GET", f"{BASE}qlive_like", 200, "application/json", '{"like_state": 0}'
    )
    openapi_checks.check_response("PUT", "/nowhere", 404, "application/json", "{}")


async def test_responses_and_frames_are_checked_for_every_http_client(
    server: ServerProcess, openapi_violations: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client is plain aiohttp instead of ApiFixture, as a browser or the SDK would be."""
    monkeypatch.setattr(AliveResponse, "model_dump_json", lambda *_a, **_kw: '{"status": "well"}')
    async with aiohttp.request("GET", f"{server.address}/healthz") as response:
        assert await response.json() == {"status": "well"}, "sent in spite of the violation"
    frames.event(1, NumberedEvent("e", 1, 1, "live_pause", {}))
    violations = [line.partition(" not as")[0] for line in openapi_violations]
    openapi_violations.clear()
    assert violations == ["GET /healthz answered 200", "the frame live_pause"]
