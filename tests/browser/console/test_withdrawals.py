"""Withdrawals in the console: queue, decisions, history, sums and the quarter's report."""

from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser.pages.windows import press_enter_on
from tests.support.income import NO_MATURITY, payee, withdraw
from tests.support.operators import operator_as

pytestmark = pytest.mark.programs


@pytest.fixture
def changes():
    return {"withdraw": {**NO_MATURITY, "second_person_fen": 5_000}}


async def test_withdrawals_are_approved_by_one_or_two_operators_or_declined_and_reported(
    console, api, server
):
    host = await payee(api)
    for income in (200, 100, 501):
        large = (await withdraw(host, income, f"r{income}"))["withdrawal_id"]
    finn = await operator_as(server, "finn", "finance")
    approval = f"/ops/api/withdrawals/{large}/approve"
    body = {"reason": "见过合同"}
    (await api.request("POST", approval, headers=finn, json=body)).ok()
    page, dialog = console.page, console.dialog
    await console.open("withdrawals")
    queue = console.list.rows.filter(has_text=host.id)
    await expect(queue).to_have_count(3)
    fifty, twenty, ten = (queue.filter(has_text=yuan) for yuan in ("¥50.10", "¥20.00", "¥10.00"))
    for text in ("1 / 2", "finn", "还需另一位运营"):
        await expect(fifty).to_contain_text(text)
    await console.check_layout("withdrawals-queue")

    await fifty.get_by_role("button", name="批准").click()
    await dialog.expect_text("已批准：finn")
    await dialog.submit("批准", 原因="再次核对")
    await console.expect_done("已批准")
    await ten.get_by_role("button", name="拒绝").click()
    await dialog.expect_text("100 收益退回给用户")
    await dialog.submit("拒绝", 原因="资料不全")
    await console.expect_done("收益已退回")
    await expect(queue).to_have_count(1)  # drawn again, which takes the focus of the keyboard
    await press_enter_on(page, twenty.get_by_role("button", name="批准"))
    await page.keyboard.type("核对过")
    await press_enter_on(page, dialog.button("批准"))
    await console.expect_done("已批准")
    await expect(page.get_by_text("没有提现", exact=True)).to_be_visible()

    await console.list.choose("状态", "returned")
    await expect(ten).to_contain_text("资料不全")
    await expect(queue).to_have_count(1)
    await expect(ten.get_by_role("button")).to_have_count(0)
    await expect(console.table("每日合计")).to_contain_text("¥80.103 笔")

    quarter = page.get_by_label("季度")
    current = await quarter.locator("option").first.get_attribute("value")
    await quarter.select_option(current)
    async with page.expect_download() as download:
        await console.button("下载季度报表").click()
    file = await download.value
    assert file.suggested_filename == f"withdrawals-{current}.csv"
    assert host.id in Path(await file.path()).read_bytes().decode("utf-8-sig")
