"""Refund cases in the console: opened, looked at, confirmed by a second operator, followed."""

import pytest
from playwright.async_api import expect

from ledger.recharge import Refund
from tests.browser.pages.windows import press_enter_on
from tests.support.gifts import CANDY, give
from tests.support.operators import operator_as
from tests.support.payments import notification_statuses, pay_order
from tests.support.waiting import until

pytestmark = pytest.mark.programs

POLL_MS = 3_000
"""Interval at which web/ops/refund_case.js reads a case in progress."""


@pytest.fixture
def changes():
    return {"pay": {"provider": "xpay"}, "ops": {"second_person_gold": 50}}


async def _pay(api, server, user):
    """The number of a paid order of 60 gold on iOS."""
    order = await user.post("qlive_pay/", block_id=1, platform="ios")
    number = (await pay_order(api, order.ok()["content"]))["order"]
    await notification_statuses(server)
    return number


async def test_a_case_is_opened_from_the_users_page_and_dropped_with_the_keyboard_alone(
    console, api, server
):
    anna, bert = await api.user("安娜", 2), await api.user("伯特", 1)
    number = await _pay(api, server, anna)
    (await give(anna, bert.id, CANDY, 10)).ok()
    page, dialog = console.page, console.dialog
    await console.open(f"people/{anna.id}")
    await press_enter_on(page, console.button("退款"))
    await expect(dialog.input("¥6.00 · 60 金币")).to_be_focused()
    await page.keyboard.press("Space")
    await page.keyboard.press("Tab")
    await page.keyboard.type("家长要求")
    await press_enter_on(page, dialog.button("查看预览"))
    await expect(dialog.alert).to_have_text("请至少选择一笔订单。")
    await dialog.input("¥6.00 · 60 金币").focus()
    await page.keyboard.press("Space")
    await press_enter_on(page, dialog.button("查看预览"))
    summary = page.locator(".card").first
    for text in (
        *("待确认", "¥6.00 · 60 金币", "未花的金币10"),
        *("50（1 件）", "只能由苹果退款"),
    ):
        await expect(summary).to_contain_text(text)
    await console.check_layout("refund-preview")

    await press_enter_on(page, console.button("确认退款"))
    await page.keyboard.type("看过证明")
    await press_enter_on(page, dialog.button("确认退款"))
    await expect(dialog.alert).to_have_text("要由另一位运营确认。")
    await page.keyboard.press("Escape")
    await press_enter_on(page, console.button("放弃"))
    await page.keyboard.type("撤回申请")
    await press_enter_on(page, dialog.button("放弃"))
    await console.expect_done("已放弃")
    await expect(summary).to_contain_text("撤回申请")
    await expect(console.button("确认退款")).to_have_count(0)
    await console.go("orders")
    await console.list.row_button(number, "退款").click()
    await dialog.submit("查看预览", 原因="再次要求")
    await expect(console.heading).to_contain_text("退款单 R")
    await console.go("refunds")
    await expect(console.list.row(anna.id)).to_have_count(2)
    await expect(console.list.row("再次要求")).to_contain_text("1 笔待苹果退款")


async def test_a_confirmed_case_shows_each_step_until_its_orders_are_refunded_or_settled(
    console, api, server
):
    page, services = console.page, server.context.services
    anna, bert = await api.user("安娜", 2), await api.user("伯特", 1)
    numbers = [await _pay(api, server, anna) for _ in range(2)]
    (await give(anna, bert.id, CANDY, 10)).ok()
    pavel = await operator_as(server, "pavel", "finance")
    body = {"user_id": anna.id, "orders": numbers, "reason": "家长要求", "request_id": "one"}
    case = (await api.request("POST", "/ops/api/refunds", headers=pavel, json=body)).ok()["id"]
    await page.clock.install()
    await console.open(f"refunds/{case}")
    (await give(anna, bert.id, CANDY, 1)).ok()
    for outcome in ("预览已更新", "已确认，正在执行"):  # the first preview no longer holds
        await console.button("确认退款").click()
        await console.dialog.expect_text("不能撤销")
        await console.dialog.submit("确认退款", 原因="看过证明")
        await console.expect_done(outcome)

    async def gifts_are_reversed():
        await services.refunds.job.sweep()
        state = (await api.ops("GET", f"refunds/{case}")).ok()["state"]
        return state == "refunding"

    await until(gifts_are_reversed)
    await page.clock.run_for(POLL_MS)
    step = page.get_by_role("list", name="进度").locator("[aria-current]")
    await expect(step).to_have_text("退款0 / 2")
    await expect(console.table("要冲正的礼物").filter(has_text="已冲正")).to_have_count(2)
    orders = console.table("订单")
    await expect(orders.filter(has_text="待苹果退款")).to_have_count(2)
    await console.check_layout("refund-progress")

    await services.payments.notifications.record(Refund("xpay", numbers[0], "wx-1", 600), "")
    await console.go(f"refunds/{case}")
    await expect(step).to_have_text("退款1 / 2")
    await expect(orders.filter(has_text=numbers[0])).to_contain_text("wx-1")
    await orders.filter(has_text=numbers[1]).get_by_role("button", name="结清").click()
    await console.dialog.submit("结清", 原因="苹果拒绝退款")
    await console.expect_done("已结清")
    await expect(step).to_have_text("完成")
    await console.go("refunds")
    for text in ("已完成", "2 / 2", "1 笔已人工结清"):
        await expect(console.list.row(anna.id)).to_contain_text(text)
