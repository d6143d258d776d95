"""The console's login and static files."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.pages.console import Console
from tests.browser.pages.console_pages import ConsoleLoginPage
from tests.support.api import ApiFixture

pytestmark = pytest.mark.programs


@pytest.mark.gen_test(timeout=60)
async def test_console_opens_with_the_token_only_and_for_the_tab_only(console: Console) -> None:
    page = console.page
    await page.goto(f"{console.address}/ops")
    await expect(page).to_have_url(f"{console.address}/ops/")
    await expect(console.login.token_field).to_be_focused()
    for wrong in ("wrong", "не тот"):
        await console.login.submit(wrong)
        await console.login.expect_wrong_token()
    await console.screenshot("ops-login")
    await console.log_in()
    await page.reload()
    await expect(console.heading).to_have_text("概览")
    await console.button("退出").click()
    await page.reload()
    await expect(console.login.token_field).to_be_visible()
    other_tab = await page.context.new_page()
    await other_tab.goto(f"{console.address}/ops/")
    await expect(ConsoleLoginPage(other_tab).token_field).to_be_visible()


@pytest.mark.gen_test(timeout=60)
async def test_changed_token_leads_back_to_the_login_page(console: Console) -> None:
    await console.log_in()
    await console.page.evaluate("sessionStorage.setItem('qlive.ops.token', 'old')")
    await console.link("礼物").click()
    await console.login.expect_wrong_token()


@pytest.mark.gen_test(timeout=30)
async def test_console_pages_have_a_strict_content_security_policy(api: ApiFixture) -> None:
    for path in ("/ops/", "/ops/index.html", "/ops/app.js"):
        response = await api.request("GET", path)
        assert response.status == 200
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
    html = (await api.request("GET", "/ops/")).text
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|<style|\sstyle=", html)
    for path in ("/ops/nothing.js", "/ops/api/nothing", "/ops/api", "/ops/..%2f..%2fserver.py"):
        assert (await api.request("GET", path)).refusal == (404, "no_such_thing"), path
    assert (await api.request("GET", "/ops/api/overview")).refusal == (401, "ops_token")
