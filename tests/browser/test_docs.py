"""The API description in a browser that can reach nothing but the server."""

import json
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Request, Route

from tests.browser.conftest import shoot
from tests.phones import BASE, Street

LOGIN, PAID = "POST /sim/phone/login", "POST /sim/phone/pay"
CREATE, ENTER = "POST qlive_user/", "POST qlive_room/matchmaker_enter/"
COME, ORDER, GIVE = "GET get_playurl/", "POST qlive_pay/", "GET qlive_gift/push_gift/"
LOOK = "GET /ops/api/rooms/{live_id}/people"


@pytest.mark.gen_test(timeout=90)
async def test_examples_are_executed_without_typing_and_no_other_host_is_asked(
    browser: Browser, street: Street
) -> None:
    await street.host("another")  # so that the room of the page is not the first
    page, strangers, complaints = await browser.new_page(), [], []

    async def only_ours(route: Route, request: Request) -> None:
        if request.url.startswith((street.address, "data:")):
            await route.continue_()
        else:
            strangers.append(request.url)
            await route.abort()

    await page.route("**/*", only_ours)
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
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
    assert (strangers, complaints) == ([], [])


@pytest.mark.gen_test(timeout=60)
async def test_the_page_of_the_socket_is_readable(browser: Browser, street: Street) -> None:
    page = await browser.new_page()
    await page.goto(f"{street.address}/docs/socket/")
    assert await page.locator("h3#gift").is_visible()
    await shoot(page, "docs-socket")


async def _execute(page: Page, call: str, body: str | None = None) -> Any:
    """Press "Try it out", once, and "Execute"; what the server answered."""
    method, path = call.split()
    path = path if path.startswith("/") else BASE + path
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
