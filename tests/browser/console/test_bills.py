"""Bills in the console: the list of differences with what to do, settling one, and the bills."""

from datetime import timedelta

import pytest
from playwright.async_api import expect

from core.clock import day_of
from devtools.simulator.simulator import Simulator
from tests.support.payments import create_order, notification_statuses, pay_order

pytestmark = pytest.mark.programs


async def test_differences_say_what_to_do_and_are_closed_with_a_note(console, api, server, db):
    assert isinstance(server.simulator, Simulator)
    anna = await api.user("安娜", 2)
    order = (await pay_order(api, await create_order(anna)))["order"]
    await notification_statuses(server)
    day = day_of(db.orders.find_one({"_id": order})["paid_at"])
    transfer = {"业务名称": "商家转账", "收支类型": "支出", "收支金额(元)": "88.00"}
    for source, changes in {
        "trade": {
            order: {"订单金额": "7.00"},
            "Q20260101000000f00d": {"订单金额": "60.00", "交易状态": "SUCCESS"},
        },
        "fund_operation": {"W20260101000000f00d": transfer},
    }.items():
        body = {"source": source, "changes": changes}
        (await api.request("POST", "/sim/bill/next", json=body)).ok()
    body = {"source": "xpay", "fault": "malformed", "changes": {"Q1": {"订单金额": "6.00"}}}
    (await api.request("POST", "/sim/bill/next", json=body)).ok()
    await server.context.services.payments.bills.reconcile(str(day))
    server.simulator.bills.faults["trade"] = "late"
    await server.context.services.payments.bills.reconcile(str(day - timedelta(1)))

    await console.open("bills")
    card = console.page.get_by_role("region", name="差异")
    rows = card.get_by_role("row")
    await expect(rows).to_have_count(5 + 1)
    amount = rows.filter(has_text=order)
    for text in ("充值", "金额不同", "¥7.00", "¥6.00", "检查账本", "微信支付交易"):
        await expect(amount).to_contain_text(text)
    await expect(rows.filter(has_text="Q20260101000000f00d")).to_contain_text("本平台没有")
    await console.check_layout("bills")
    await amount.get_by_role("button", name="结清").click()
    await console.dialog.submit("结清", 原因="微信优惠券，已核对")
    await console.expect_done("已结清")
    await expect(rows).to_have_count(4 + 1)
    await console.list.choose("状态", "settled")
    await expect(rows.filter(has_text=order)).to_contain_text("微信优惠券，已核对")
    bills = console.page.get_by_role("region", name="账单")
    await expect(bills.get_by_role("row").filter(has_text="STATEMENT_CREATING")).to_have_count(1)
