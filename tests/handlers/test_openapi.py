"""The description is of what runs, can be tried as it stands, and needs no other host."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_pydantic import OpenAPI
from tornado.web import RequestHandler

from handlers.base import Handler
from handlers.description import openapi
from handlers.description.pages import POLICY, Written
from handlers.routes import BASE, CALLS, application
from handlers.sim import Sim
from handlers.static import Static
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


def test_the_version_is_the_projects(document: dict[str, Any]) -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    assert document["info"]["version"] == project["version"]


def test_without_a_simulator_nothing_of_it_is_described() -> None:
    text = openapi.text(openapi.document(CALLS, with_simulator=False))
    assert "/sim/" not in text
    assert '"simulator"' not in text


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


@pytest.mark.gen_test
async def test_every_example_is_what_its_call_takes(
    street: Street, document: dict[str, Any]
) -> None:
    phone = await street.host("hongniang1")
    headers = {"Authorization": f"QLiveToken {phone.token}"}
    tried = 0
    for path, calls in document["paths"].items():
        for method, call in calls.items():
            if "operators" in call["tags"]:
                headers = {"Authorization": f"Bearer {street._ops_token}"}
            if call["operationId"] == "users.Logout.get" or "callbacks" in call["tags"]:
                continue  # the one ends the trying, the others take what is signed
            reply = await _try(street, method, path, call, headers)
            assert not _wrong_examples(reply, call), (path, method, reply.text)
            tried += 1
    assert tried > 40


async def _try(street: Street, method: str, path: str, call: Any, headers: Any) -> Reply:
    parameters = {
        (p["in"], p["name"]): p["schema"]["examples"][0]
        for p in call.get("parameters", ())
        if "examples" in p["schema"]
    }
    query = {name: value for (where, name), value in parameters.items() if where == "query"}
    for (where, name), value in parameters.items():
        path = path.replace(f"{{{name}}}", str(value)) if where == "path" else path
    content = call.get("requestBody", {}).get("content", {})
    body = content.get("application/json", {}).get("example")
    path = re.sub(r"{\w+}", VARIABLE, path)
    return await street.ask(method.upper(), path, params=query, json=body, headers=headers)


def _wrong_examples(reply: Reply, call: Any) -> set[str]:
    """What had an example and was refused all the same."""
    if reply.status != 400 or "fields" not in reply.json:
        return set()
    wrong = reply.json["fields"].items()
    return {name for name, why in wrong if why != "this is required"}


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
    ],
)
def test_an_answer_that_is_not_as_described_is_noticed(status: int, kind: str, text: str) -> None:
    with pytest.raises(AssertionError, match="described"):
        described.check_answer("GET", f"{BASE}qlive_like/", status, kind, text)


def test_an_answer_as_described_is_not() -> None:
    described.check_answer("GET", f"{BASE}qlive_like", 200, "application/json", '{"like_state": 0}')
    described.check_answer("PUT", "/nowhere", 404, "application/json", "{}")
