"""The console's login, roles and static files."""

import re
import time

import pytest
from playwright.async_api import expect

from handlers.operator_routes import permissions
from runtime.process import ServerProcess
from services.operators.operators import STEP_SECONDS, code_of
from services.operators.roles import Access
from tests.browser.pages.accessibility import axe_violations
from tests.browser.pages.console import PHONE, Console
from tests.browser.pages.console_pages import ConsoleLoginPage
from tests.support.api import ApiFixture
from tests.support.operators import operator_as

pytestmark = pytest.mark.programs

PASSWORD = "correct horse battery"


def code(secret: str, steps: int = 0) -> str:
    return code_of(secret.replace(" ", ""), int(time.time()) // STEP_SECONDS + steps)


@pytest.mark.gen_test(timeout=60)
async def test_demo_admin_logs_in_with_one_click_for_the_tab_only(console: Console) -> None:
    page = console.page
    await page.goto(f"{console.address}/ops")
    await expect(page).to_have_url(f"{console.address}/ops/")
    await expect(console.login.name_field).to_be_focused()
    await console.screenshot("ops-login")
    await console.login.demo_button.click()
    await expect(page.locator(".operator")).to_have_text("demo管理员")
    await page.reload()
    await expect(console.heading).to_have_text("概览")
    await console.button("退出").click()
    await page.reload()
    await expect(console.login.name_field).to_be_visible()
    other_tab = await page.context.new_page()
    await other_tab.goto(f"{console.address}/ops/")
    await expect(ConsoleLoginPage(other_tab).name_field).to_be_visible()


@pytest.mark.gen_test(timeout=90)
async def test_first_login_sets_password_and_second_factor(
    console: Console, server: ServerProcess
) -> None:
    once = await server.context.services.operators.add("anna", "moderator")
    page, login = console.page, console.login
    await console.open_login()
    await login.submit("anna", "wrong")
    await login.expect_refusal()
    await login.submit("anna", once)
    await expect(console.heading).to_have_text("首次登录")
    qr = page.get_by_role("img", name="二维码")
    assert await qr.evaluate("image => image.naturalWidth") > 100
    assert await axe_violations(page) == []
    secret = await login.secret.inner_text()
    await page.set_viewport_size(PHONE)
    await console.screenshot("ops-first-login", full_page=True)
    assert await console.overflowing_elements() == []
    await page.set_viewport_size({"width": 1280, "height": 800})
    await login.submit_first("short", "short", "123456")
    await expect(page.get_by_text("至少 12 个字符").nth(1)).to_be_visible()
    await login.submit_first(PASSWORD, f"{PASSWORD}x", code(secret))
    await expect(page.get_by_text("两次输入不一致")).to_be_visible()
    await login.submit_first(PASSWORD, PASSWORD, "000000")
    await expect(page.get_by_text("验证码不对")).to_be_visible()
    await login.submit_first(PASSWORD, PASSWORD, code(secret))
    await expect(page.locator(".operator")).to_have_text("anna房管")
    await console.button("退出").click()
    await login.submit("anna", PASSWORD, code(secret, steps=1))
    await expect(page.locator(".operator")).to_have_text("anna房管")


@pytest.mark.gen_test(timeout=60)
async def test_only_the_end_of_the_current_session_leads_back_to_the_login_page(
    console: Console, server: ServerProcess
) -> None:
    await console.log_in()
    refusal = await console.page.evaluate(
        """async () => {
          const { api, session } = await import("/ops/api.js");
          const key = "qlive.ops.session", current = sessionStorage.getItem(key);
          sessionStorage.setItem(key, JSON.stringify({ ...session(), token: "0".repeat(64) }));
          const earlier = api("GET", "session");
          sessionStorage.setItem(key, current);
          return earlier.then(() => "", (error) => error.code);
        }"""
    )
    assert refusal == "ops_token"
    assert await console.page.evaluate("sessionStorage.getItem('qlive.ops.session')")
    await expect(console.page.get_by_role("navigation")).to_be_visible()

    await server.context.stores.operator_sessions.end_all("demo")
    # The overview may ask for its charts just now: then there is no link left to click.
    await console.page.evaluate("location.hash = '#/gifts'")
    await console.login.expect_ended_session()


async def log_in_as(console: Console, server: ServerProcess, role: Access) -> None:
    headers = await operator_as(server, role, role)  # type: ignore[arg-type]
    token = headers["Authorization"].removeprefix("Bearer ")
    console.session = {"token": token, "name": role, "role": role, "may": permissions()[role]}


HIDDEN: dict[Access, tuple[set[str], set[str]]] = {
    "viewer": (
        {"退款单", "回调收件箱"},
        {"发放金币", "退款", "设为红娘", "封禁", "结束全部登录"},
    ),
    "moderator": ({"退款单", "回调收件箱"}, {"发放金币", "退款"}),
    "finance": (set(), {"设为红娘", "封禁", "结束全部登录"}),
}
"""Pages and buttons that a role does not permit."""


@pytest.mark.gen_test(timeout=90)
async def test_pages_and_buttons_that_the_role_does_not_permit_are_hidden(
    console: Console, server: ServerProcess, api: ApiFixture
) -> None:
    anna = await api.user("安娜", 2)
    for role, (pages, actions) in HIDDEN.items():
        await log_in_as(console, server, role)
        await console.page.goto("about:blank")
        await console.open(f"people/{anna.id}")
        await expect(console.page.locator(".operator")).to_contain_text(role)
        await expect(console.user.sessions).to_have_count(1)
        for name in ("发放金币", "退款", "设为红娘", "封禁", "结束全部登录"):
            await expect(console.button(name)).to_have_count(0 if name in actions else 1)
        for name in ("概览", "账本", "退款单", "回调收件箱"):
            await expect(console.link(name)).to_have_count(0 if name in pages else 1)
        await console.go("gifts")
        await console.expect_content()
        await expect(console.button("添加礼物")).to_have_count(0)


@pytest.mark.gen_test(timeout=60)
async def test_console_by_itself_does_not_keep_a_session_alive(console: Console) -> None:
    await console.page.clock.install()
    await console.open("rooms")
    async with console.page.expect_request("**/ops/api/rooms") as active:
        await console.page.clock.run_for(10_000)
    async with console.page.expect_request(
        lambda request: "x-qlive-idle" in request.headers
    ) as idle:
        await console.page.clock.run_for(120_000)
    assert "x-qlive-idle" not in (await active.value).headers
    await idle.value
    await console.page.mouse.move(10, 10)
    async with console.page.expect_request("**/ops/api/rooms") as again:
        await console.page.clock.run_for(10_000)
    assert "x-qlive-idle" not in (await again.value).headers


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
