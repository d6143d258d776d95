"""Requests that wait for a second operator, in the console."""

import pytest
from playwright.async_api import expect

from tests.support.operators import operator_as

pytestmark = pytest.mark.programs


@pytest.fixture
def changes():
    return {"ops": {"second_person_gold": 100}}


async def test_large_changes_wait_until_another_operator_confirms_them(console, api, server):
    anna = await api.user("安娜", 2)
    other = await operator_as(server, "pavel", "admin")
    grant = {"gold": 500, "reason": "补偿", "request_id": "one"}
    for path, body in (
        (f"users/{anna.id}/grant", grant),
        ("blocks", {"gold": 70, "price": "6.00"}),
    ):
        reply = await api.request("POST", f"/ops/api/{path}", headers=other, json=body)
        assert reply.status == 202
    await console.open(f"people/{anna.id}")
    await console.button("发放金币").click()
    await console.dialog.submit("发放", 金币="101", 原因="生日")
    await console.expect_done("等待另一位运营确认")
    await console.go("configs")
    await console.list.row_button("WITHDRAW_RATE", "编辑").click()
    await console.dialog.submit("保存", 值="0.9")
    await console.expect_done("等待另一位运营确认")
    await expect(console.list.row("WITHDRAW_RATE")).to_contain_text("0.1")

    await console.go("approvals")
    rows = console.list.rows
    await expect(rows).to_have_count(4)
    own, others = rows.filter(has_text="生日"), rows.filter(has_text="补偿")
    rate, block = rows.filter(has_text="WITHDRAW_RATE"), rows.filter(has_text="新增")
    await expect(rate).to_contain_text("值 0.1 → 0.9")
    await expect(block).to_contain_text("金币 – → 70")
    await expect(own.get_by_role("button", name="确认")).to_have_count(0)
    await console.check_layout("approvals")
    for request, amount in ((block, "→ 70"), (others, "500 金币")):
        await request.get_by_role("button", name="确认").click()
        await console.dialog.expect_text(amount)
        await console.dialog.submit("确认", 原因="有工单")
        await console.expect_done("已确认并执行")
    for request in (own, rate):
        await request.get_by_role("button", name="撤回").click()
        await console.dialog.submit("撤回", 原因="弄错了")
        await console.expect_done("已撤回")
    await expect(console.page.get_by_text("没有申请")).to_be_visible()
    assert (await api.ops("GET", f"users/{anna.id}")).ok()["gold"] == 500
    await console.page.get_by_label("只看待确认").uncheck()
    await expect(rows.filter(has_text="500").filter(has_text="有工单")).to_contain_text("demo")
