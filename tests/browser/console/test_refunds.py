"""Refund cases in the console: opened, looked at, confirmed by a second operator, followed."""

from typing import Any

import pytest
from playwright.async_api import Locator, expect

from ledger.recharge import Refund
from runtime.process import ServerProcess
from tencent.message_push import REFUND_QUESTION
from tests.browser.pages.accessibility import axe_violations, press_enter_on
from tests.browser.pages.console import PHONE, Console
from tests.support.api import ApiClient, ApiFixture
from tests.support.gifts import CANDY, give
from tests.support.operators import operator_as
from tests.support.payments import notification_statuses, pay_order
from tests.support.platform_events import event_sender, send_event

pytestmark = pytest.mark.programs

POLL_MS = 3_000
"""Interval at which web/ops/refund_case.js reads a case in progress."""


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"pay": {"provider": "xpay"}, "ops": {"second_person_gold": 50}}


async def _minor(api: ApiFixture, server: ServerProcess) -> tuple[ApiClient, str]:
    """A user who has paid 60 gold on iOS, of which 50 went to a host; and the order's number."""
    anna, bert = await api.user("安娜", 2), await api.user("伯特", 1)
    order = await anna.post("qlive_pay/", block_id=1, platform="ios")
    number: str = (await pay_order(api, order.ok()["content"]))["order"]
    await notification_statuses(server)
    (await give(anna, bert.id, CANDY, 10)).ok()
    return anna, number


@pytest.mark.gen_test(timeout=90)
async def test_a_case_is_opened_from_the_users_page_and_dropped_with_the_keyboard_alone(
    console: Console, api: ApiFixture, server: ServerProcess
) -> None:
    anna, number = await _minor(api, server)
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
    await expect(summary).to_contain_text("待确认")
    await expect(summary).to_contain_text("¥6.00 · 60 金币")
    await expect(summary).to_contain_text("未花的金币10")
    await expect(summary).to_contain_text("50（1 件）")
    await expect(summary).to_contain_text("只能由苹果退款")
    await _check_page(console, "preview")

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
    await console.list.row(number).get_by_role("button", name="退款").click()
    await dialog.submit("查看预览", 原因="再次要求")
    await expect(console.heading).to_contain_text("退款单 R")
    await console.go("refunds")
    await expect(console.list.row(anna.id)).to_have_count(2)
    await expect(console.list.row("再次要求")).to_contain_text("1 笔待苹果退款")
    await console.screenshot("ops-refunds")


@pytest.mark.gen_test(timeout=90)
async def test_a_confirmed_case_shows_each_step_until_the_refund_was_notified(
    console: Console, api: ApiFixture, server: ServerProcess
) -> None:
    anna, number = await _minor(api, server)
    case = await _open_as_pavel(api, server, anna, number)
    await console.page.clock.install()
    await console.open(f"refunds/{case['id']}")
    (await give(anna, case["hosts"][0]["user_id"], CANDY, 1)).ok()  # the preview no longer holds
    await _confirm(console)
    await console.expect_done("预览已更新")
    gifts = console.page.get_by_role("table", name="要冲正的礼物").locator("tbody tr")
    await expect(gifts).to_have_count(2)
    await _confirm(console)
    await console.expect_done("已确认，正在执行")
    await expect(_current_step(console)).to_have_text("收回金币")

    await server.context.services.refund_sweep.sweep()
    await console.page.clock.run_for(POLL_MS)
    await expect(_current_step(console)).to_have_text("退款0 / 1")
    await expect(gifts.filter(has_text="已冲正")).to_have_count(2)
    orders = console.page.get_by_role("table", name="订单").locator("tbody tr")
    await expect(orders).to_contain_text("待苹果退款")
    await _check_page(console, "progress")
    await _expect_evidence(console, api, server, number)
    await console.go(f"refunds/{case['id']}")

    refund = Refund("xpay", number, "wx-1", 600)
    await server.context.services.payment_notifications.book(refund, "")
    await console.page.clock.run_for(POLL_MS)
    await expect(_current_step(console)).to_have_text("完成")
    await expect(orders).to_contain_text("wx-1")
    await expect(console.page.locator(".card").first).to_contain_text("demo")


@pytest.mark.gen_test(timeout=90)
async def test_a_settled_order_is_listed_as_done(
    console: Console, api: ApiFixture, server: ServerProcess
) -> None:
    anna, number = await _minor(api, server)
    case = await _open_as_pavel(api, server, anna, number)
    (await api.ops("POST", f"refunds/{case['id']}/confirm", reason="看过证明")).ok()
    await server.context.services.refund_sweep.sweep()
    await console.open("refunds")
    row = console.list.row(anna.id)
    await expect(row).to_contain_text("0 / 1")
    await expect(row).to_contain_text("1 笔待苹果退款")
    await console.go(f"refunds/{case['id']}")
    await console.button("结清").click()
    await console.dialog.submit("结清", 原因="苹果拒绝退款")
    await console.expect_done("已结清")
    await console.go("refunds")
    await expect(row).to_contain_text("已完成")
    await expect(row).to_contain_text("1 / 1")
    await expect(row).to_contain_text("1 笔已人工结清")
    await expect(row).not_to_contain_text("待苹果退款")


async def _expect_evidence(
    console: Console, api: ApiFixture, server: ServerProcess, number: str
) -> None:
    """Apple asks about the order; the inbox shows what was answered."""
    await send_event(api, event_sender(server), REFUND_QUESTION, order=number)
    await console.go("inbox")
    await console.list.choose("微信事件", REFUND_QUESTION)
    question = console.list.rows
    await expect(question).to_have_count(1)
    await question.locator("summary").click()
    await expect(question.locator("pre").last).to_contain_text(f"订单{number}：")
    await expect(question.locator("pre").last).to_contain_text("到账60金币")
    await _check_page(console, "question")


async def _open_as_pavel(
    api: ApiFixture, server: ServerProcess, user: ApiClient, number: str
) -> Any:
    pavel = await operator_as(server, "pavel", "finance")
    body = {"user_id": user.id, "orders": [number], "reason": "家长要求", "request_id": "one"}
    return (await api.request("POST", "/ops/api/refunds", headers=pavel, json=body)).ok()


async def _confirm(console: Console) -> None:
    await console.button("确认退款").click()
    await console.dialog.expect_text("不能撤销")
    await console.dialog.submit("确认退款", 原因="看过证明")


def _current_step(console: Console) -> Locator:
    return console.page.get_by_role("list", name="进度").locator("[aria-current]")


async def _check_page(console: Console, name: str) -> None:
    """Axe in light and dark, and the layout on a phone."""
    assert await axe_violations(console.page) == []
    await console.page.emulate_media(color_scheme="dark")
    assert await axe_violations(console.page, structure=False) == []
    await console.page.emulate_media(color_scheme="light")
    await console.screenshot(f"ops-refund-{name}", full_page=True)
    await console.page.set_viewport_size(PHONE)
    assert await console.overflowing_elements() == []
    await console.screenshot(f"ops-refund-{name}-360", full_page=True)
    await console.page.set_viewport_size({"width": 1280, "height": 800})
