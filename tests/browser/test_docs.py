"""The API description in a browser that can reach nothing but the server."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Route, expect
from tornado.ioloop import IOLoop

from tests.browser.conftest import shoot
from tests.phones import BASE, Street

pytestmark = pytest.mark.programs

LOGIN, PAID = "POST /sim/phone/login", "POST /sim/phone/pay"
CREATE, ENTER = "POST qlive_user/", "POST qlive_room/matchmaker_enter/"
COME, ORDER, GIVE = "GET get_playurl/", "POST qlive_pay/", "GET qlive_gift/push_gift/"
LOOK = "GET /ops/api/rooms/{live_id}/people"
EXECUTED = (LOGIN, PAID, CREATE, ENTER, COME, ORDER, GIVE, LOOK)


@pytest.fixture
def demo_people() -> bool:
    """Whether the server has the people of the examples."""
    return True


@pytest.fixture
def page(io_loop: IOLoop, browser: Browser, street: Street) -> Iterator[Page]:
    """A window that asks no host but the server, and in whose console no error appears."""
    context = io_loop.run_sync(lambda: browser.new_context(reduced_motion="reduce"))
    asked, complaints = [], []
    context.on("request", lambda request: asked.append(request.url))
    context.on("weberror", lambda failure: complaints.append(str(failure.error)))
    context.on("console", lambda said: said.type == "error" and complaints.append(said.text))
    yield io_loop.run_sync(context.new_page)
    io_loop.run_sync(context.close)
    assert [url for url in asked if not url.startswith((f"{street.address}/", "data:"))] == []
    assert complaints == []


@pytest.mark.gen_test(timeout=90)
async def test_examples_are_executed_without_typing_and_no_other_host_is_asked(
    page: Page, street: Street
) -> None:
    await street.host("another")  # so that the room of the page is not the first
    await page.route("**/docs/openapi.json", _only_what_is_executed)
    await page.goto(f"{street.address}/docs/")
    await _execute(page, LOGIN)
    host = (await _execute(page, CREATE))["user_id"]
    live_id = (await _execute(page, ENTER))["live_id"]
    assert live_id != 1
    await _execute(page, LOGIN, json.dumps({"name": "秀英", "gender": 2}))
    guest = (await _execute(page, CREATE))["user_id"]
    assert (await _execute(page, COME))["owner"]["user_id"] == host
    await _execute(page, ORDER)
    assert (await _execute(page, PAID))["outcome"] == "success"
    assert (await _execute(page, GIVE))["status"] == "success"
    await _authorize(page, street._ops_token)
    people = (await _execute(page, LOOK))["items"]
    assert {person["user_id"] for person in people} == {host, guest}
    await shoot(page, "docs")


@pytest.mark.gen_test(timeout=60)
async def test_every_call_is_on_the_page(page: Page, street: Street) -> None:
    paths = (await street.ask("GET", "/docs/openapi.json")).json["paths"]
    calls = [method for path in paths.values() for method in path if method != "parameters"]
    await page.goto(f"{street.address}/docs/")
    await expect(page.locator(".opblock")).to_have_count(len(calls))


@pytest.mark.gen_test(timeout=60)
async def test_the_page_of_the_socket_is_readable(page: Page, street: Street) -> None:
    await page.goto(f"{street.address}/docs/socket/")
    assert await page.locator("h3#gift").is_visible()
    await shoot(page, "docs-socket")


async def _only_what_is_executed(route: Route) -> None:
    """Swagger UI works through the whole description for every call that is opened or executed: two
    seconds of CPU time each, when it holds all of them."""
    answer = await route.fetch()
    document = await answer.json()
    used = {_path(call) for call in EXECUTED}
    document["paths"] = {path: it for path, it in document["paths"].items() if path in used}
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"] = {"200": operation["responses"]["200"]}
    components = document["components"]
    kept: dict[str, Any] = {"securitySchemes": components["securitySchemes"]}
    wanted = _references(document["paths"])
    while wanted:
        kind, name = wanted.pop()
        part = kept.setdefault(kind, {})[name] = components[kind][name]
        wanted |= {
            (kind, name) for kind, name in _references(part) if name not in kept.get(kind, ())
        }
    document["components"] = kept
    await route.fulfill(response=answer, json=document)


def _references(part: Any) -> set[tuple[str, str]]:
    return set(re.findall(r"#/components/(\w+)/([^\"]+)", json.dumps(part)))


def _path(call: str) -> str:
    path = call.split()[1]
    return path if path.startswith("/") else BASE + path


async def _execute(page: Page, call: str, body: str | None = None) -> Any:
    """Press "Try it out", once, and "Execute"; what the server answered."""
    method, path = call.split(maxsplit=1)[0], _path(call)
    block = page.locator(f'.opblock-{method.lower()}:has([data-path="{path}"])')
    execute = block.get_by_role("button", name="Execute", exact=True)
    if not await execute.count():
        await block.locator(".opblock-summary-control").click()
        await block.get_by_role("button", name="Try it out").click()
    if body is not None:
        await block.locator("textarea.body-param__text").fill(body)
    async with page.expect_response(lambda said: said.request.method == method) as answer:
        await execute.click()
    said = await answer.value
    assert said.status == 200, await said.text()
    await block.locator(".live-responses-table .response-col_status", has_text="200").wait_for()
    return await said.json()


async def _authorize(page: Page, token: str) -> None:
    await page.locator(".btn.authorize").first.click()
    form = page.locator(".auth-container", has=page.locator("code", has_text="ops.token"))
    await form.locator("input").fill(token)
    await form.get_by_role("button", name="Apply credentials").click()
    await page.get_by_role("button", name="Close").first.click()
