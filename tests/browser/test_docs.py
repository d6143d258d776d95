"""The API documentation in a browser."""

from collections.abc import Iterator

import pytest
from playwright.async_api import Browser, Page, expect
from tornado.ioloop import IOLoop

from handlers.openapi.schemas import PLACEHOLDERS
from tests.browser.conftest import TIMEOUT_MS
from tests.browser.pages.windows import BrowserLog
from tests.support.api import BASE, ApiFixture

pytestmark = pytest.mark.programs

EXCHANGES_SCRIPT = """examples => {
    const { requestInterceptor: send, responseInterceptor: receive } = page.getConfigs();
    const reply = (path, body, ok = true) => receive({ ok, url: location.origin + path, body });
    const fill = (path, body) => {
        const request = send({ url: path, body: body && JSON.stringify(body) });
        return [request.url.replace(location.origin, ""), body && JSON.parse(request.body)];
    };
    const { user_id, live_id, code } = examples;
    reply("/sim/phone/login", { appId: "wx1", code: "c1" });
    reply("/sim/phone/login", { detail: "no", code: "refused" }, false);
    const login = fill("/login/", { code, iv: "typed" });
    reply("/login/", { token: "t1", user_id: "11111111" });
    reply("/login/", { token: "t2", user_id: "22222222" });
    reply("/ops/api/session", { token: "o1", may: [] });
    reply("/ops/api/rooms", { items: [{ id: 7 }, { id: 8 }] });
    const gift = fill(`/give/?user_id=${user_id}&num=1`);
    const ban = fill(`/ops/api/users/${user_id}`, { user_id: "33333333" });
    const room = fill(`/ops/api/rooms/${live_id}/people`);
    const { QLiveToken, operator } = page.authSelectors.authorized().toJS();
    return [login, gift, ban, room, QLiveToken.value, operator.value];
}"""
"""Path and body of requests that the page fills from earlier responses, and its tokens."""


@pytest.fixture
def page(io_loop: IOLoop, browser: Browser, api: ApiFixture) -> Iterator[Page]:
    """A window that fails on requests to other hosts and on errors in its console."""
    context = io_loop.run_sync(lambda: browser.new_context(reduced_motion="reduce"))
    context.set_default_timeout(TIMEOUT_MS)
    log = BrowserLog(context)
    yield io_loop.run_sync(context.new_page)
    io_loop.run_sync(context.close)
    log.check(f"{api.address}/", "data:")


async def test_examples_are_sent_with_values_of_earlier_responses(
    page: Page, api: ApiFixture
) -> None:
    await page.goto(f"{api.address}/docs/")
    operation = page.locator(f'.opblock-post [data-path="{BASE}qlive_room/accept_micro/"]')
    await expect(operation).to_be_visible()
    assert await page.evaluate(EXCHANGES_SCRIPT, PLACEHOLDERS) == [
        ["/login/", {"code": "c1", "iv": "typed"}],
        ["/give/?user_id=11111111&num=1", None],  # the user before, not the sender
        ["/ops/api/users/11111111", {"user_id": "33333333"}],
        ["/ops/api/rooms/7/people", None],
        "QLiveToken t2",
        "o1",
    ]


async def test_websocket_page_is_readable(page: Page, api: ApiFixture) -> None:
    await page.goto(f"{api.address}/docs/socket/")
    await expect(page.locator("h3#gift")).to_be_visible()
