"""Users in the console: grants, debts, sessions, and dialogs during lost responses."""

import asyncio
import json

import pytest
from playwright.async_api import expect

from storage.documents import token_id

pytestmark = pytest.mark.programs


async def test_a_grant_is_validated_retried_with_its_request_id_and_reversed(console, api):
    anna = await api.user("安娜", 2)
    requests = []

    async def lose_first_response(route):
        requests.append(json.loads(route.request.post_data or ""))
        response = await route.fetch()
        await (route.abort() if len(requests) == 1 else route.fulfill(response=response))

    dialog, entry = console.dialog, console.list.row("grant:")
    await console.open(f"people/{anna.id}")
    await console.page.route("**/grant", lose_first_response)
    await console.button("发放金币").click()
    for invalid, message in (("", "必填"), ("1.5", "整数"), ("0", "1 和 1,000,000,000")):
        await dialog.submit("发放", 金币=invalid, 原因="生日")
        await expect(dialog.root.locator(".field").first).to_contain_text(message)
    await dialog.submit("发放", 金币="520")
    await dialog.expect_network_error()
    await dialog.submit("发放")
    await console.expect_done("已发放 520 金币，现有 520")
    assert requests[0] == requests[1]
    await expect(entry).to_contain_text("+520")
    await expect(entry).to_contain_text("生日")
    await console.list.row_button("grant:", "冲正").click()
    await dialog.expect_text("-520 金币")
    await dialog.submit("冲正", 原因="发错了人")
    await console.expect_done("已冲正")
    await expect(console.list.row("发错了人")).to_contain_text("−520")
    await expect(console.user_head).to_contain_text("金币0")
    console.log.errors.clear()  # Chromium reports the lost response


async def test_an_operator_verifies_a_user_s_age_and_withdraws_that(console, api):
    anna = await api.user("安娜", 2)
    await console.open(f"people/{anna.id}")
    await console.button("核实成年").click()
    await console.dialog.submit("已核实")
    await console.dialog.expect_text("必填")
    await console.dialog.submit("已核实", 原因="在客服处看过证件")
    await console.expect_done("“安娜”已核实成年")
    await console.button("撤销成年核实").click()
    await console.dialog.submit("撤销", 原因="证件是别人的")
    await console.expect_done("“安娜”的成年核实已撤销")
    await expect(console.button("核实成年")).to_be_visible()


async def test_debts_are_paid_off_and_sessions_ended_and_markup_in_a_name_is_shown_as_text(
    console, api, db
):
    phone, *_ = [await api.user("anna", 2) for _ in range(3)]
    await api.user("bert", 1)
    name = "<img src=x onerror=alert(1)>"
    debts = {"owed": 30, "owed_income": 7, "income": 9}
    db.users.update_one({"_id": phone.id}, {"$set": {**debts, "nickname": name}})
    await console.open("people")
    await expect(console.list.rows).to_have_count(2)
    await console.page.get_by_label("只看欠款").check()
    await expect(console.list.rows).to_have_count(1)
    await expect(console.list.row(phone.id)).to_contain_text(name)
    await console.list.open_link(phone.id, "查看")
    await console.button("结清欠款").click()
    await console.dialog.input("由谁承担").select_option("house")
    await console.dialog.submit("结清", 原因="找不到人了")
    await console.expect_done("已结清 30 金币")
    await expect(console.button("结清欠款")).to_have_count(0)
    await console.button("结清收益欠款").click()
    await console.dialog.expect_text("欠平台 7 收益")
    await console.dialog.submit("结清", 原因="用礼物收益抵")
    await console.expect_done("已结清 7 收益")
    await expect(console.user_head).to_contain_text("收益2")

    await expect(console.user_sessions).to_have_count(3)
    await console.list.row_button(token_id(phone.token)[:8], "结束").click()
    await console.dialog.expect_text("这台设备立即断开")
    await console.dialog.submit("结束登录", 原因="手机丢了")
    await console.expect_done("已结束 1 个登录")
    await expect(console.user_sessions).to_have_count(2)
    assert (await phone.get("get_configs/")).refusal == (401, "token")
    await console.button("结束全部登录").click()
    await console.dialog.submit("结束登录", 原因="账号被盗")
    await console.expect_done("已结束 2 个登录")


async def test_a_change_is_awaited_and_without_a_response_the_page_is_reloaded(console, api):
    anna = await api.user("安娜", 2)
    await console.open(f"people/{anna.id}")
    released = asyncio.Event()

    async def hold_first_response(route):
        if route.request.method == "PATCH":
            is_first = not released.is_set()
            await released.wait()
            response = await route.fetch()
            await (route.fulfill(response=response) if is_first else route.abort())
        else:
            await route.continue_()

    await console.page.route(f"**/users/{anna.id}", hold_first_response)
    await console.button("封禁").click()
    await console.dialog.submit("封禁", 原因="辱骂他人")
    for _ in range(3):
        await console.page.keyboard.press("Escape")
    await expect(console.dialog.root).to_be_visible()
    await expect(console.dialog.button("取消")).to_be_disabled()
    released.set()
    await console.expect_done("“安娜”已封禁")

    await console.button("解封").click()
    await console.dialog.submit("解封")
    await console.dialog.expect_network_error()
    await console.page.keyboard.press("Escape")
    await expect(console.button("封禁")).to_be_visible()
    console.log.errors.clear()  # Chromium reports the lost response
