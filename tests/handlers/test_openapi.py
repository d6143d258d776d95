"""The description is of what runs, can be tried as it stands, and needs no other host."""

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

from handlers.base import Handler
from handlers.description import openapi
from handlers.description.examples import FROM_ANSWERS
from handlers.description.pages import POLICY, Written
from handlers.description.whence import PLACES, SERVICES
from handlers.health import Alive
from handlers.routes import BASE, CALLS, application
from handlers.sim import Sim
from handlers.static import Static
from realtime import frames
from rooms.events import Numbered
from server import Server
from tests import described
from tests.phones import Phone, Reply, Street
from tests.test_server import Program, a_real_program

METHODS = ("get", "post", "patch", "put", "delete")
NOT_CALLS = {
    Static: "files and pages",
    Sim: "plays other services; the two calls that a laptop needs are described",
    Written: "the description itself",
}
VARIABLE = "12345678"


@pytest.fixture
def document() -> dict[str, Any]:
    return described.document()


@pytest.mark.gen_test
async def test_every_method_of_every_route_is_described(
    server: Server, document: dict[str, Any]
) -> None:
    described_calls = {
        (re.sub(r"{\w+}", VARIABLE, path), method)
        for path, calls in document["paths"].items()
        for method in calls
    }
    found = 0
    for rule in application(server.parts).wildcard_router.rules:
        if issubclass(rule.target, tuple(NOT_CALLS)):
            continue
        assert issubclass(rule.target, Handler)
        for method in _methods_of(rule.target):
            matching = [call for call in described_calls if _fits(rule, *call, method)]
            assert len(matching) == 1, (rule.matcher.regex.pattern, method, matching)
            found += 1
    assert found == len([path for path, _ in described_calls if not path.startswith("/sim/")])


def _methods_of(handler: type[RequestHandler]) -> list[str]:
    return [name for name in METHODS if getattr(handler, name) is not getattr(Handler, name)]


def _fits(rule: Any, path: str, method: str, wanted: str) -> bool:
    return method == wanted and rule.matcher.regex.fullmatch(path) is not None


def test_the_document_is_openapi_whose_references_lead_somewhere(
    document: dict[str, Any],
) -> None:
    OpenAPI.model_validate(document)
    assert document["openapi"].startswith("3.1.")
    for reference in references(document):
        found: Any = document
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]
        assert found
    names = [call["operationId"] for calls in document["paths"].values() for call in calls.values()]
    assert len(set(names)) == len(names)


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        part = list(part.values())
    for inside in part if isinstance(part, list) else ():
        yield from references(inside)


def test_every_call_says_what_it_is_for(document: dict[str, Any]) -> None:
    tags = {tag["name"] for tag in document["tags"]}
    for calls in document["paths"].values():
        for call in calls.values():
            assert call["summary"].endswith("."), call
            assert set(call["tags"]) <= tags


def test_a_refusal_stands_only_where_it_is_heard(document: dict[str, Any]) -> None:
    give = _codes(document, f"{BASE}qlive_gift/push_gift/", "get")
    assert {"banned", "request_id_reused", "no_such_gift", "no_such_user"} < give
    assert not give & {"ops_token", "callback_refused", "wechat_code", "not_live"}
    assert "insufficient_gold" not in give, "it is answered with 200"
    assert "banned" not in _codes(document, f"{BASE}qlive_room/matchmaker_enter/", "post")
    for path, calls in document["paths"].items():
        for method, call in calls.items():
            codes = _codes(document, path, method)
            assert ("ops_token" in codes) == ("operators" in call["tags"]), path
            assert ("callback_refused" in codes) == ("callbacks" in call["tags"]), path


def test_every_refusal_is_said_in_its_own_words(document: dict[str, Any]) -> None:
    refusals = {refusal.code: refusal.detail for refusal in PLACES}
    said: dict[str, str] = {}
    for response in document["components"]["responses"].values():
        examples = response["content"]["application/json"]["examples"]
        said |= {code: example["summary"] for code, example in examples.items()}
        assert all(
            example["summary"] == example["value"]["detail"] for example in examples.values()
        )
    assert refusals.items() <= said.items()


def test_every_place_of_a_refusal_is_a_call(document: dict[str, Any]) -> None:
    names = [
        f"{call['operationId']}." for calls in document["paths"].values() for call in calls.values()
    ]
    for place in " ".join([*PLACES.values(), *SERVICES.values()]).split():
        assert any(name.startswith(f"{place}.") for name in names), place


def _codes(document: dict[str, Any], path: str, method: str) -> set[str]:
    responses = document["paths"][path][method]["responses"].values()
    names = [said["$ref"].rpartition("/")[2] for said in responses if "$ref" in said]
    found = [document["components"]["responses"][name] for name in names]
    return {code for said in found for code in said["content"]["application/json"]["examples"]}


def test_what_is_asked_and_shown_is_as_narrow_as_the_handlers(document: dict[str, Any]) -> None:
    shapes = document["components"]["schemas"]
    nickname = shapes["UpdateUserinfo"]["properties"]["nickname"]["anyOf"][0]
    assert (nickname["minLength"], nickname["maxLength"]) == (1, 20)
    for shape in ("RoomRow", "RoomInside"):
        room = shapes[shape]["properties"]["room"]["$ref"].rpartition("/")[2]
        assert {"owner", "male", "female", "applicants"} < set(shapes[room]["required"])


@pytest.mark.parametrize(
    ("path", "method", "where", "names"),
    [
        ("im/callback/", "post", "query", {"SdkAppid", "CallbackCommand", "RequestTime", "Sign"}),
        ("qlive_pay/xpay_notify/", "get", "query", {"signature", "timestamp", "nonce", "echostr"}),
        ("qlive_pay/xpay_notify/", "post", "query", {"msg_signature", "timestamp", "nonce"}),
        ("qlive_pay/notify/", "post", "header", {"Wechatpay-Serial", "Wechatpay-Signature"}),
    ],
)
def test_reports_are_described_with_what_they_are_proven_by(
    document: dict[str, Any], path: str, method: str, where: str, names: set[str]
) -> None:
    parameters = document["paths"][BASE + path][method]["parameters"]
    assert names <= {p["name"] for p in parameters if p["in"] == where}


def test_what_a_report_of_a_stream_is_proven_by_stands_in_its_body(
    document: dict[str, Any],
) -> None:
    body = document["paths"][f"{BASE}live/callback/"]["post"]["requestBody"]
    assert {"sign", "t"} < set(body["content"]["application/json"]["schema"]["required"])


def test_the_socket_says_that_it_cannot_be_tried_on_the_page(document: dict[str, Any]) -> None:
    said = document["paths"][f"{BASE}ws/"]["get"]["description"]
    assert "cannot" in said
    assert "/docs/socket/" in said


def test_the_version_is_the_projects(document: dict[str, Any]) -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    assert document["info"]["version"] == project["version"]


def test_without_a_simulator_nothing_of_it_is_described() -> None:
    text = openapi.text(openapi.document(CALLS, with_simulator=False))
    assert "/sim/" not in text
    assert '"simulator"' not in text


@pytest.fixture
def demo_people() -> bool:
    """The examples name them."""
    return True


@pytest.mark.gen_test
async def test_a_token_is_got_as_the_description_says(
    street: Street, document: dict[str, Any]
) -> None:
    login = document["paths"]["/sim/phone/login"]["post"]
    example = login["requestBody"]["content"]["application/json"]["example"]
    said = (await street.ask("POST", "/sim/phone/login", json=example)).ok()
    account = (await street.ask("POST", f"{BASE}qlive_user/", json=said)).ok()
    phone = Phone(street, "hongniang1", account)
    assert (await phone.post("qlive_room/matchmaker_enter/")).ok()["status"] == "ok"


NOT_TRIED = {
    "users.Logout.get": "ends the trying",
    "socket.RoomSocket.get": "speaks WebSocket",
}
DONE = (200, None)
OTHERWISE = {"ops.people.SettleDebt.post": (409, "not_owed")}  # nobody owes anything


@pytest.mark.gen_test(timeout=60)
async def test_every_example_can_be_executed_by_the_host_or_the_guest_or_an_operator(
    street: Street, document: dict[str, Any]
) -> None:
    host, guest = await street.host("hongniang1"), await street.person("秀英", 2, gold=100)
    heard, tried = await _heard(host, guest), 0
    for path, calls in document["paths"].items():
        for method, call in sorted(calls.items(), reverse=True):  # what is deleted is gone
            name = call["operationId"]
            if name in NOT_TRIED or "callbacks" in call["tags"]:  # these take what is signed
                continue
            await _begin(host, guest)
            heard |= await street.wechat(host.name, 2)
            outcomes = []
            for phone, other in ((host, guest), (guest, host)):
                known = {**heard, "user_id": other.id}
                outcomes.append(_outcome(await _try(phone, method, path, call, known)))
            assert OTHERWISE.get(name, DONE) in outcomes, (name, outcomes)
            tried += 1
    assert tried > 55


async def _heard(host: Phone, guest: Phone) -> dict[str, Any]:
    """What answers name: an order, an entry of the book, a report of a payment."""
    first, second = [(await guest.post("qlive_pay/", block_id=1)).ok() for _ in range(2)]
    phone = {"content": first["content"]}
    (await guest.street.ask("POST", "/sim/phone/pay", json=phone)).ok()
    entries = (await guest.street.ops("GET", "ledger?kind=grant")).ok()["items"]
    reports = (await guest.street.ops("GET", "inbox?source=jsapi")).ok()["items"]
    return {
        "content": second["content"],
        "live_id": host.live_id,
        "entry": entries[0]["id"],
        "id": reports[0]["id"],
    }


async def _begin(host: Phone, guest: Phone) -> None:
    """A room is live, and somebody in it wants to be on mic."""
    (await host.post("qlive_room/matchmaker_enter/")).ok()
    back = {"user_id": guest.id, "reason": "test"}
    (await host.street.ops("POST", f"rooms/{host.live_id}/let_in", **back)).ok()
    (await guest.get("get_playurl/", live_id=host.live_id)).ok()
    await guest.post("qlive_room/apply_micro/", live_id=host.live_id)  # or is on mic


async def _try(phone: Phone, method: str, path: str, call: Any, known: dict[str, Any]) -> Reply:
    """As the page executes it: its examples, but for what answers have named."""
    token = f"QLiveToken {phone.token}"
    if "operators" in call["tags"]:
        token = f"Bearer {phone.street._ops_token}"
    shown = [p for p in call.get("parameters", ()) if "example" in p]
    given = {(p["in"], p["name"]): _filled(p["name"], p["example"], known) for p in shown}
    query = {name: value for (where, name), value in given.items() if where == "query"}
    for (where, name), value in given.items():
        path = path.replace(f"{{{name}}}", str(value)) if where == "path" else path
    content = call.get("requestBody", {}).get("content", {})
    body = content.get("application/json", {}).get("example")
    if body is not None:
        body = {name: _filled(name, value, known) for name, value in body.items()}
    headers = {"Authorization": token}
    return await phone.street.ask(method.upper(), path, params=query, json=body, headers=headers)


def _filled(name: str, value: Any, known: dict[str, Any]) -> Any:
    return known[name] if value == FROM_ANSWERS.get(name) else value


def _outcome(reply: Reply) -> tuple[int, str | None]:
    """What was refused has a code, whatever its status."""
    said = reply.json if reply.headers["Content-Type"].startswith("application/json") else None
    refused = isinstance(said, dict) and "detail" in said
    return reply.status, said.get("code") if refused else None


def test_every_parameter_that_has_to_be_given_has_an_example(document: dict[str, Any]) -> None:
    """Swagger UI fills its form with the parameter's own, not with that of its schema."""
    for path, calls in document["paths"].items():
        for call in calls.values():
            for parameter in call.get("parameters", ()):
                signed = "callbacks" in call["tags"]
                assert "example" in parameter or signed or not parameter["required"], path
            for content in call.get("requestBody", {}).get("content", {}).values():
                assert "example" in content or "callbacks" in call["tags"], path


@pytest.mark.gen_test
async def test_the_page_and_all_it_needs_come_from_here(street: Street) -> None:
    page = await street.ask("GET", "/docs/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Content-Security-Policy"] == POLICY
    assert POLICY.startswith("default-src 'self';")
    assert "http" not in POLICY
    needed = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    assert len(needed) == 4
    assert "//" not in page.text
    for address in needed:
        method = "HEAD" if address.endswith(".png") else "GET"  # a Reply is text
        assert (await street.ask(method, address)).status == 200, address
    script = await street.ask("GET", "/docs/start.js")
    addresses = re.findall(r'url: "([^"]*)"', script.text)
    assert addresses == ["/docs/openapi.json"]
    assert "validatorUrl: null" in script.text


@pytest.mark.parametrize("path", ["/docs", "/docs/", "/docs/socket", "/docs/socket/"])
@pytest.mark.gen_test
async def test_pages_are_served_with_and_without_a_slash(street: Street, path: str) -> None:
    assert (await street.ask("GET", path)).status == 200


@pytest.mark.parametrize("path", ["index.html", "swagger-ui.js", "../flask_swagger_ui.py", "x"])
@pytest.mark.gen_test
async def test_nothing_else_of_the_package_is_served(street: Street, path: str) -> None:
    assert (await street.ask("GET", f"/docs/{path}")).refusal == (404, "no_such_thing")


@pytest.mark.gen_test
async def test_the_document_that_is_served_is_this_one(
    street: Street, document: dict[str, Any]
) -> None:
    served = await street.ask("GET", "/docs/openapi.json")
    assert served.headers["Content-Type"].startswith("application/json")
    assert served.ok() == document


@a_real_program
async def test_the_command_line_prints_it(document: dict[str, Any], tmp_path: Path) -> None:
    status, said, complaints = await Program(tmp_path).run("openapi")
    assert (status, complaints) == (0, "")
    assert json.loads(said) == document


# ---- what holds all other tests' answers against it


@pytest.mark.parametrize(
    ("status", "kind", "text"),
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
def test_an_answer_that_is_not_as_described_is_noticed(status: int, kind: str, text: str) -> None:
    with pytest.raises(AssertionError, match="described"):
        described.check_answer("GET", f"{BASE}qlive_like/", status, kind, text)


def test_an_answer_as_described_is_not() -> None:
    described.check_answer("GET", f"{BASE}qlive_like", 200, "application/json", '{"like_state": 0}')
    described.check_answer("PUT", "/nowhere", 404, "application/json", "{}")


@pytest.mark.gen_test
async def test_whoever_asks_what_leaves_the_server_is_looked_at(
    server: Server, as_described: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiohttp without a Street, as a browser or the SDK would ask."""
    monkeypatch.setattr(Alive, "model_dump_json", lambda *_a, **_kw: '{"status": "well"}')
    async with aiohttp.request("GET", f"{server.address}/healthz") as answer:
        assert await answer.json() == {"status": "well"}, "the server itself goes on"
    frames.event(1, Numbered("e", 1, 1, "live_pause", {}))
    noticed = [line.partition(" not as")[0] for line in as_described]
    as_described.clear()
    assert noticed == ["GET /healthz answered 200", "the frame live_pause"]
