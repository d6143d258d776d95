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
from handlers.openapi.endpoints import endpoints
from handlers.pages import POLICY, DocumentHandler, StaticHandler, openapi_text
from handlers.routes import BASE, ROUTES, application
from realtime import frames
from rooms.events import NumberedEvent
from runtime.process import ServerProcess
from tests.support import openapi_checks
from tests.support.api import ApiFixture
from tests.support.openapi_checks import references, resolve
from tests.support.server_program import ServerProgram

PATH_PARAMETER = "12345678"
GIFT_LIST_ALIAS = "/wx/api/qlive/get_giftlist/"


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


def test_statuses_and_errors_are_documented_only_where_they_occur(document: dict[str, Any]) -> None:
    accepted = set()
    for path, _, operation in operations(document):
        described = operation["responses"].values()
        names = [answer["$ref"].rpartition("/")[2] for answer in described if "$ref" in answer]
        codes = {code for name in names for code in name.split(".")[1:]}
        assert "insufficient_gold" not in codes or "push_gift" not in path, "its status is 200"
        assert ("ops_token" in codes) == (operation["security"] == [{"operator": []}]), path
        assert ("callback_refused" in codes) == ("callbacks" in operation["tags"]), path
        if "202" in operation["responses"]:
            accepted.add(path.removeprefix("/ops/api/"))
    assert accepted == {
        *("users/{user_id}/grant", "users/{user_id}/settle", "ledger/reverse"),
        *("blocks", "blocks/{number}", "configs", "configs/{number}"),
    }, "what may wait for a second operator"


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


def test_examples_are_valid(document: dict[str, Any]) -> None:
    """Swagger UI sends them, after it has replaced placeholders by values of the same form."""
    for found in endpoints(ROUTES):
        operation = document["paths"][found.path][found.method]
        content = operation.get("requestBody", {}).get("content", {})
        example = dict(content.get("application/json", {}).get("example", {}))
        for parameter in operation.get("parameters", ()):
            if "example" in parameter:
                example[parameter["name"]] = parameter["example"]
        for name, pattern in found.variables.items():
            assert re.fullmatch(pattern, str(example.pop(name))), (found.name, name)
        if found.call.request:
            found.call.request.model_validate(example)


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
