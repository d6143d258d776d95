"""The API description in a browser that can reach nothing but the server."""

import json

import pytest
from playwright.async_api import Browser, Page, Request, Route

from tests.browser.conftest import shoot
from tests.phones import Street

LOGIN = '.opblock-post:has([data-path="/sim/phone/login"])'
CREATE = '.opblock-post:has([data-path="/wx/api/qlive/qlive_user/"])'
LIST = '.opblock-get:has([data-path="/wx/api/qlive/get_livelist/"])'


@pytest.mark.gen_test(timeout=60)
async def test_a_call_can_be_tried_on_the_page_and_no_other_host_is_asked(
    browser: Browser, street: Street
) -> None:
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
    said = await _try(page, LOGIN, None)
    account = await _try(page, CREATE, said)
    assert json.loads(account)["token"]
    assert await _try(page, LIST, None) == "[]"
    await shoot(page, "docs")
    assert (strangers, complaints) == ([], [])


@pytest.mark.gen_test(timeout=60)
async def test_the_page_of_the_socket_is_readable(browser: Browser, street: Street) -> None:
    page = await browser.new_page()
    await page.goto(f"{street.address}/docs/socket/")
    assert await page.locator("h3#gift").is_visible()
    await shoot(page, "docs-socket")


async def _try(page: Page, block: str, body: str | None) -> str:
    """Press "Try it out" and "Execute"; what the server answered."""
    call = page.locator(block)
    await call.locator(".opblock-summary-control").click()
    await call.get_by_role("button", name="Try it out").click()
    if body is not None:
        await call.locator("textarea.body-param__text").fill(body)
    await call.get_by_role("button", name="Execute", exact=True).click()
    await call.locator(".live-responses-table .response-col_status", has_text="200").wait_for()
    answer = call.locator(".live-responses-table .response-col_description code").first
    return (await answer.inner_text()).replace("\n", "")
