"""The API documentation in a browser."""

import pytest
from playwright.async_api import expect

from handlers.openapi.schemas import PLACEHOLDERS
from tests.support.api import BASE

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


async def test_the_pages_are_readable_and_examples_are_sent_with_values_of_earlier_responses(
    browser_log, api
):
    page = await browser_log.context.new_page()
    await page.goto(f"{api.address}/docs/socket/")
    await expect(page.locator("h3#gift")).to_be_visible()
    await page.goto(f"{api.address}/docs/")
    # Of so many operations Swagger UI renders only those in view.
    await page.get_by_placeholder("Filter by tag or path").fill("accept_micro")
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
