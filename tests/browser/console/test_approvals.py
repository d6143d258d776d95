"""Requests that wait for a second operator, in the console."""

from typing import Any

import pytest
from playwright.async_api import expect

from runtime.process import ServerProcess
from tests.browser.pages.accessibility import axe_violations
from tests.browser.pages.console import PHONE, Console
from tests.support.api import ApiFixture
from tests.support.operators import operator_as

pytestmark = pytest.mark.programs


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"ops": {"second_person_gold": 100}}


@pytest.mark.gen_test(timeout=90)
async def test_a_large_grant_waits_and_is_confirmed_by_another_operator(
    console: Console, api: ApiFixture, server: ServerProcess
) -> None:
    anna = await api.user("安娜", 2)
    other = await operator_as(server, "pavel", "finance")
    asked = {"gold": 500, "reason": "补偿", "request_id": "one"}
    reply = await api.request("POST", f"/ops/api/users/{anna.id}/grant", headers=other, json=asked)
    assert reply.status == 202
    await console.log_in()
    await console.go(f"people/{anna.id}")
    await console.button("发放金币").click()
    await console.dialog.submit("发放", 金币="101", 原因="生日")
    await console.expect_done("等待另一位运营确认")
    await console.go("configs")
    await console.list.row_button("WITHDRAW_RATE", "编辑").click()
    await console.dialog.submit("保存", 值="0.9")
    await console.expect_done("等待另一位运营确认")
    await expect(console.list.row("WITHDRAW_RATE")).to_contain_text("0.1")
    ada = await operator_as(server, "ada", "admin")
    block = {"gold": 70, "price": "6.00"}
    changed = await api.request("PATCH", "/ops/api/blocks/1", headers=ada, json=block)
    added = await api.request("POST", "/ops/api/blocks", headers=ada, json=block)
    assert (changed.status, added.status) == (202, 202)
    await console.go("approvals")
    rows = console.page.get_by_role("row")
    await expect(rows).to_have_count(6)
    await expect(rows.filter(has_text="WITHDRAW_RATE")).to_contain_text("值 0.1 → 0.9")
    await expect(rows.filter(has_text="新增")).to_contain_text("金币 – → 70")
    own, others = rows.filter(has_text="生日"), rows.filter(has_text="补偿")
    await expect(own.get_by_role("button", name="确认")).to_have_count(0)
    assert await axe_violations(console.page) == []
    await console.screenshot("ops-approvals")
    await console.page.set_viewport_size(PHONE)
    assert await console.overflowing_elements() == []
    await console.screenshot("ops-approvals-360", full_page=True)
    await console.page.set_viewport_size({"width": 1280, "height": 800})
    for request in (rows.filter(has_text="金币 60 → 70"), rows.filter(has_text="新增")):
        await request.get_by_role("button", name="确认").click()
        await console.dialog.expect_text("→ 70")
        await console.dialog.submit("确认", 原因="已商定")
        await console.expect_done("已确认并执行")
    blocks = (await api.ops("GET", "blocks")).ok()["items"]
    assert [row["gold"] for row in blocks if row["price"] == "6.00"] == [70, 70]
    await others.get_by_role("button", name="确认").click()
    await console.dialog.expect_text("500 金币")
    await console.dialog.submit("确认", 原因="有工单")
    await console.expect_done("已确认并执行")
    for request in (own, rows.filter(has_text="WITHDRAW_RATE")):
        await request.get_by_role("button", name="撤回").click()
        await console.dialog.submit("撤回", 原因="弄错了")
        await console.expect_done("已撤回")
    await expect(console.page.get_by_text("没有申请")).to_be_visible()
    assert (await api.ops("GET", f"users/{anna.id}")).ok()["gold"] == 500
    await console.page.get_by_label("只看待确认").uncheck()
    await expect(rows.filter(has_text="有工单")).to_contain_text("demo")
