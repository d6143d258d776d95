"""Withdrawals in the console: queue, decisions, history, sums and the quarter's report."""

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from runtime.process import ServerProcess
from tests.browser.pages.accessibility import axe_violations, press_enter_on
from tests.browser.pages.console import PHONE, Console
from tests.support.api import ApiFixture
from tests.support.income import NO_MATURITY, payee, withdraw, withdrawals_of
from tests.support.operators import operator_as

pytestmark = pytest.mark.programs


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"withdraw": {**NO_MATURITY, "second_person_fen": 5_000}}


@pytest.mark.gen_test(timeout=90)
async def test_withdrawals_are_approved_by_one_or_two_operators_or_declined(
    console: Console, api: ApiFixture, server: ServerProcess
) -> None:
    host = await payee(api)
    _, _, large = [
        (await withdraw(host, income, f"r{income}"))["withdrawal_id"] for income in (200, 100, 501)
    ]
    finn = await operator_as(server, "finn", "finance")
    approval = f"/ops/api/withdrawals/{large}/approve"
    body = {"reason": "见过合同"}
    (await api.request("POST", approval, headers=finn, json=body)).ok()
    await console.open("withdrawals")
    queue = console.list.rows.filter(has_text=host.id)
    await expect(queue).to_have_count(3)
    fifty, twenty, ten = (queue.filter(has_text=yuan) for yuan in ("¥50.10", "¥20.00", "¥10.00"))
    await expect(fifty).to_contain_text("1 / 2")
    await expect(fifty).to_contain_text("finn")
    await expect(fifty).to_contain_text("还需另一位运营")
    await _check_page(console, "queue")

    await fifty.get_by_role("button", name="批准").click()
    await console.dialog.expect_text("已批准：finn")
    await console.dialog.submit("批准", 原因="再次核对")
    await console.expect_done("已批准")
    await ten.get_by_role("button", name="拒绝").click()
    await console.dialog.expect_text("100 收益退回给用户")
    await console.dialog.submit("拒绝", 原因="资料不全")
    await console.expect_done("收益已退回")
    await press_enter_on(console.page, twenty.get_by_role("button", name="批准"))
    await console.page.keyboard.type("核对过")
    await press_enter_on(console.page, console.dialog.button("批准"))
    await console.expect_done("已批准")
    await expect(console.page.get_by_text("没有提现", exact=True)).to_be_visible()

    await console.list.choose("状态", "returned")
    await expect(ten).to_contain_text("资料不全")
    await expect(queue).to_have_count(1)
    await console.list.choose("状态", "")
    await expect(queue).to_have_count(3)
    await expect(ten.get_by_role("button")).to_have_count(0)
    day = console.page.get_by_role("table", name="每日合计").locator("tbody tr")
    await expect(day).to_contain_text("¥80.103 笔")
    await expect(day).to_contain_text("¥10.001 笔")
    reasons = {it["fen"]: it["reason"] for it in await withdrawals_of(host)}
    assert reasons == {5_010: "", 2_000: "", 1_000: "资料不全"}
    await _check_page(console, "history")


@pytest.mark.gen_test(timeout=60)
async def test_the_report_of_a_quarter_is_downloaded(console: Console, api: ApiFixture) -> None:
    host = await payee(api)
    await console.open("withdrawals")
    quarter = console.page.get_by_label("季度")
    current = await quarter.locator("option").first.get_attribute("value")
    await quarter.select_option(current)
    async with console.page.expect_download() as download:
        await console.button("下载季度报表").click()
    file = await download.value
    assert file.suggested_filename == f"withdrawals-{current}.csv"
    assert host.id in Path(await file.path()).read_bytes().decode("utf-8-sig")


async def _check_page(console: Console, name: str) -> None:
    """Axe in light and dark, and the layout on a phone."""
    assert await axe_violations(console.page) == []
    await console.page.emulate_media(color_scheme="dark")
    assert await axe_violations(console.page, structure=False) == []
    await console.page.emulate_media(color_scheme="light")
    await console.screenshot(f"ops-withdrawals-{name}")
    await console.page.set_viewport_size(PHONE)
    assert await console.overflowing_elements() == []
    await console.screenshot(f"ops-withdrawals-{name}-360", full_page=True)
    await console.page.set_viewport_size({"width": 1280, "height": 800})
