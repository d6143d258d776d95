"""The console's login, its end, and roles."""

import pytest
from playwright.async_api import expect

from handlers.operator_routes import permissions
from tests.browser.pages.console import ConsoleLoginPage
from tests.support.operators import PASSWORD, code_now, operator_as

pytestmark = pytest.mark.programs

LATE_ANSWER_SCRIPT = """async () => {
    const { api, session } = await import("/ops/api.js");
    const key = "qlive.ops.session", current = sessionStorage.getItem(key);
    sessionStorage.setItem(key, JSON.stringify({ ...session(), token: "0".repeat(64) }));
    const earlier = api("GET", "session");
    sessionStorage.setItem(key, current);
    return earlier.then(() => "", (error) => error.code);
}"""
"""The code of a refusal that answers a request of an earlier session."""
SHOWN = {
    "viewer": set(),
    "moderator": {"设为红娘", "封禁", "结束全部登录"},
    "finance": {"发放金币", "退款", "退款单", "回调收件箱"},
}
"""The buttons of a user, and the pages beyond the overview and the ledger, that a role permits."""


async def test_demo_admin_logs_in_with_one_click_for_the_tab_only(console):
    page = console.page
    await page.goto(f"{console.address}/ops")
    await expect(page).to_have_url(f"{console.address}/ops/")
    await expect(console.login.name_field).to_be_focused()
    await console.login.demo_button.click()
    await expect(console.operator).to_have_text("demo管理员")
    await page.reload()
    await expect(console.heading).to_have_text("概览")
    other_tab = await page.context.new_page()
    await other_tab.goto(f"{console.address}/ops/")
    await expect(ConsoleLoginPage(other_tab).name_field).to_be_visible()
    await console.button("退出").click()
    await page.reload()
    await expect(console.login.name_field).to_be_visible()


async def test_first_login_sets_password_and_second_factor(console, server):
    password = await server.context.services.operators.operators.add("anna", "moderator")
    page, login = console.page, console.login
    await console.open_login()
    await login.submit("anna", "wrong")
    await expect(login.alert).to_have_text("名字、密码或验证码不对。")
    await login.submit("anna", password)
    await expect(console.heading).to_have_text("首次登录")
    qr = page.get_by_role("img", name="二维码")
    await expect(qr).to_have_js_property("complete", True)
    assert await qr.evaluate("image => image.naturalWidth") > 100
    await console.check_layout("first-login")
    secret = await login.secret.inner_text()
    for first, repeated, factor, message in (
        ("short", "short", "123456", "至少 12 个字符"),
        (PASSWORD, f"{PASSWORD}x", "123456", "两次输入不一致"),
        (PASSWORD, PASSWORD, "000000", "验证码不对"),
    ):
        await login.submit_first(first, repeated, factor)
        await expect(page.get_by_text(message).last).to_be_visible()
    await login.submit_first(PASSWORD, PASSWORD, code_now(secret))
    await expect(console.operator).to_have_text("anna房管")
    await console.button("退出").click()
    await login.submit("anna", PASSWORD, code_now(secret, 1))
    await expect(console.operator).to_have_text("anna房管")


async def test_only_the_end_of_the_current_session_leads_back_to_the_login_page(console, server):
    await console.open("overview")
    assert await console.page.evaluate(LATE_ANSWER_SCRIPT) == "ops_token"
    assert await console.page.evaluate("sessionStorage.getItem('qlive.ops.session')")
    await expect(console.page.get_by_role("navigation")).to_be_visible()

    await server.context.services.operators.operators.change("demo", end_sessions=True)
    # The overview may ask for its charts just now: then there is no link left to click.
    await console.page.evaluate("location.hash = '#/gifts'")
    await expect(console.login.alert).to_have_text("登录已结束，请重新登录。")


async def test_pages_and_buttons_that_the_role_does_not_permit_are_hidden(console, server, api):
    anna = await api.user("安娜", 2)
    report = {"user_id": (await api.user("伯特", 1)).id, "reason": "abuse", "text": "他骂人"}
    (await anna.post("qlive_user/report/", **report)).ok()
    for role, shown in SHOWN.items():
        headers = await operator_as(server, role, role)
        token = headers["Authorization"].removeprefix("Bearer ")
        console.session = {"token": token, "name": role, "role": role, "may": permissions()[role]}
        await console.page.goto("about:blank")
        await console.open(f"people/{anna.id}")
        await expect(console.operator).to_contain_text(role)
        await expect(console.user_sessions).to_have_count(1)
        for name in ("发放金币", "退款", "设为红娘", "封禁", "结束全部登录"):
            await expect(console.button(name)).to_have_count(int(name in shown))
        for name in ("退款单", "回调收件箱"):
            await expect(console.link(name)).to_have_count(int(name in shown))
        await expect(console.link("账本")).to_have_count(1)
        await console.go("gifts")
        await console.expect_content()
        await expect(console.button("添加礼物")).to_have_count(0)
        await console.go("moderation")
        evidence = "他骂人" if role == "moderator" else "只有房管和管理员能看"
        await expect(console.queue.detail).to_contain_text(evidence)


async def test_console_by_itself_does_not_keep_a_session_alive(console):
    page = console.page
    await page.clock.install()
    await console.open("rooms")
    async with page.expect_request("**/ops/api/rooms") as active:
        await page.clock.run_for(10_000)
    async with page.expect_request(lambda request: "x-qlive-idle" in request.headers) as idle:
        await page.clock.run_for(120_000)
    assert "x-qlive-idle" not in (await active.value).headers
    await idle.value
    await page.mouse.move(10, 10)
    async with page.expect_request("**/ops/api/rooms") as again:
        await page.clock.run_for(10_000)
    assert "x-qlive-idle" not in (await again.value).headers
