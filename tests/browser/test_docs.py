"""The API documentation in a browser."""

import json
from collections.abc import Iterator

import pytest
from playwright.async_api import Browser, Page, expect
from tornado.ioloop import IOLoop

from tests.browser.pages.browser_log import BrowserLog
from tests.browser.pages.docs_pages import SwaggerPage, WebSocketDocsPage
from tests.browser.pages.screenshots import take_screenshot
from tests.support.api import ApiFixture

pytestmark = pytest.mark.programs

LOGIN, PAID = "POST /sim/phone/login", "POST /sim/phone/pay"
CREATE, ENTER = "POST qlive_user/", "POST qlive_room/matchmaker_enter/"
JOIN, ORDER, GIVE = "GET get_playurl/", "POST qlive_pay/", "GET qlive_gift/push_gift/"
MEMBERS = "GET /ops/api/rooms/{live_id}/people"
EXECUTED = (LOGIN, PAID, CREATE, ENTER, JOIN, ORDER, GIVE, MEMBERS)


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


@pytest.mark.gen_test(timeout=90)
async def test_examples_execute_without_typing_using_values_of_earlier_responses(
    page: Page, api: ApiFixture
) -> None:
    await api.host("another")  # the room of the examples is not the first one
    swagger = SwaggerPage(page, api.address)
    await swagger.keep_operations(*EXECUTED)
    await swagger.open()
    await swagger.execute(LOGIN)
    host_id = (await swagger.execute(CREATE))["user_id"]
    live_id = (await swagger.execute(ENTER))["live_id"]
    assert live_id != 1
    await swagger.execute(LOGIN, json.dumps({"name": "秀英", "gender": 2}))
    guest_id = (await swagger.execute(CREATE))["user_id"]
    assert (await swagger.execute(JOIN))["owner"]["user_id"] == host_id
    await swagger.execute(ORDER)
    assert (await swagger.execute(PAID))["outcome"] == "success"
    assert (await swagger.execute(GIVE))["status"] == "success"
    await swagger.authorize_operator(await api.operator_token())
    members = (await swagger.execute(MEMBERS))["items"]
    assert {member["user_id"] for member in members} == {host_id, guest_id}
    await take_screenshot(page, "docs")


@pytest.mark.gen_test(timeout=60)
async def test_page_shows_every_operation_of_the_description(page: Page, api: ApiFixture) -> None:
    paths = (await api.request("GET", "/docs/openapi.json")).json["paths"]
    operations = [method for path in paths.values() for method in path if method != "parameters"]
    swagger = SwaggerPage(page, api.address)
    await swagger.open()
    await expect(swagger.operations).to_have_count(len(operations))


@pytest.mark.gen_test(timeout=60)
async def test_websocket_page_is_readable(page: Page, api: ApiFixture) -> None:
    docs = WebSocketDocsPage(page, api.address)
    await docs.open()
    assert await docs.event_heading("gift").is_visible()
    await take_screenshot(page, "docs-socket")
