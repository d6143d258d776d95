"""The API documentation in a browser."""

import json
from collections.abc import Iterator

import pytest
from playwright.async_api import Browser, Page, expect
from tornado.ioloop import IOLoop

from tests.browser.pages.docs_pages import SwaggerPage
from tests.browser.pages.windows import BrowserLog
from tests.support.api import ApiFixture

pytestmark = pytest.mark.programs

LOGIN, CREATE = "POST /sim/phone/login", "POST qlive_user/"
ENTER, JOIN = "POST qlive_room/matchmaker_enter/", "GET get_playurl/"
MEMBERS = "GET /ops/api/rooms/{live_id}/people"


@pytest.fixture
def demo_users() -> bool:
    """The examples use the demo users."""
    return True


@pytest.fixture
def page(io_loop: IOLoop, browser: Browser, api: ApiFixture) -> Iterator[Page]:
    """A window that fails on requests to other hosts and on errors in its console."""
    context = io_loop.run_sync(lambda: browser.new_context(reduced_motion="reduce"))
    log = BrowserLog(context)
    yield io_loop.run_sync(context.new_page)
    io_loop.run_sync(context.close)
    log.check(f"{api.address}/", "data:")


async def test_examples_execute_without_typing_using_values_of_earlier_responses(
    page: Page, api: ApiFixture
) -> None:
    await api.host("another")  # the room of the examples is not the first one
    swagger = SwaggerPage(page, api.address)
    await swagger.open(LOGIN, CREATE, ENTER, JOIN, MEMBERS)
    await swagger.execute(LOGIN)
    host_id = (await swagger.execute(CREATE))["user_id"]
    assert (await swagger.execute(ENTER))["live_id"] != 1
    await swagger.execute(LOGIN, json.dumps({"name": "秀英", "gender": 2}))
    guest_id = (await swagger.execute(CREATE))["user_id"]
    assert (await swagger.execute(JOIN))["owner"]["user_id"] == host_id
    await swagger.authorize_operator(await api.operator_token())
    members = (await swagger.execute(MEMBERS))["items"]
    assert {member["user_id"] for member in members} == {host_id, guest_id}


async def test_websocket_page_is_readable(page: Page, api: ApiFixture) -> None:
    await page.goto(f"{api.address}/docs/socket/")
    await expect(page.locator("h3#gift")).to_be_visible()
