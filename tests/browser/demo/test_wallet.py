"""A host's wallet in the demo room: withdrawals until they are paid, returned or refused."""

import pytest
from playwright.async_api import expect

from handlers.models import LIST_PAGE_SIZE
from tests.browser.pages.demo_window import lose_response
from tests.browser.pages.windows import press_enter_on
from tests.support.gifts import CANDY, give
from tests.support.income import NO_MATURITY
from tests.support.payments import notification_statuses
from tests.support.waiting import until

pytestmark = pytest.mark.programs

POLL_MS = 2_000
"""Interval at which web/demo/wallet.js reads a page of the list while a withdrawal is open."""


@pytest.fixture
def changes():
    large = {"max_fen": 200_000, "second_person_fen": 0}
    return {"withdraw": {**NO_MATURITY, **large}}


async def _host_with_income(demo, api, db, candies=400):
    """The wallet of hongniang1, who was given candies: each is 2.5 income, 25 fen."""
    host = await demo.open("/?as=host")
    await expect(host.button("钱包 · 提现")).to_be_visible()
    giver = await api.user("有钱人", 1)
    db.users.update_one({"_id": giver.id}, {"$set": {"gold": 5 * candies}})
    (await give(giver, await host.session("user_id"), CANDY, candies)).ok()
    await host.page.clock.install()
    await host.wallet.open()
    return host


async def _approve_all(api, server, db):
    for item in (await api.ops("GET", "withdrawals?state=requested")).ok()["items"]:
        (await api.ops("POST", f"withdrawals/{item['id']}/approve", reason="checked")).ok()
    db.withdrawals.update_many({"due_at": {"$ne": None}}, [{"$set": {"due_at": "$requested_at"}}])
    await server.context.services.payouts.transfers.job.sweep()


async def _press_tabs_while_an_answer_is_held(host, rows):
    """The tab that was pressed last is shown, whichever answer comes last."""
    held = []

    def hold(route):
        held.append(route)

    await host.page.route("**/statement/?unit=income*", hold, times=1)
    await host.wallet.press("收益")
    await until(lambda: held)
    for tab, text in (("金币", "还没有收支"), ("收益", "+1000余额 1000"), ("金币", "还没有收支")):
        await host.wallet.press(tab)
        await expect(rows).to_contain_text([text])
    async with host.page.expect_response("**/statement/?unit=income*") as response:
        await held[0].continue_()
    await (await response.value).finished()
    await host.page.evaluate("fetch('/demo/mark.svg').then(response => response.text())")
    await expect(rows).to_have_text(["还没有收支"])


async def test_the_statement_shows_both_units(demo, api, db):
    host = await _host_with_income(demo, api, db)
    await host.wallet.press("收支明细")
    rows = host.page.locator(".statement li")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("收到有钱人的礼物")
    await expect(rows).to_contain_text("+1000余额 1000")
    await host.wallet.press("金币")
    await expect(rows).to_have_text(["还没有收支"])
    await _press_tabs_while_an_answer_is_held(host, rows)
    await host.page.keyboard.press("Escape")
    await host.check_layout("statement", lambda: host.wallet.press("收支明细"))


async def test_a_withdrawal_is_paid_once_the_server_says_so_with_the_keyboard_alone(
    demo, api, server, db
):
    host = await _host_with_income(demo, api, db)
    page, wallet = host.page, host.wallet
    confirm = wallet.confirm_button("100.00")
    await expect(wallet.funds).to_have_text(["1000", "1000"])
    await expect(page.locator(".funds")).to_contain_text("约 ¥100.00")
    await press_enter_on(page, wallet.button("全部"))
    await press_enter_on(page, wallet.amount_field)
    await expect(wallet.items).to_contain_text(["¥100.00待审核"])
    await expect(wallet.funds).to_have_text(["0", "0"])
    await _approve_all(api, server, db)
    await page.clock.run_for(POLL_MS)
    await expect(wallet.items).to_contain_text(["待收款"])
    await press_enter_on(page, confirm)
    await host.dialog.expect_text("手机显示成功不算到账")
    await host.dialog.dismiss()

    await wallet.amount_field.fill("12")
    await host.check_layout("wallet")
    await expect(wallet.amount_field).to_have_value("12")  # kept by the switches of the language
    await host.check_layout("transfer", lambda: wallet.confirm_button("100.00").click())
    await host.dialog.confirm_transfer("forged")
    await host.expect_toast("手机已操作；是否到账，等服务器确认")
    await notification_statuses(server)
    await page.clock.run_for(POLL_MS)
    await expect(wallet.items).to_contain_text(["待收款"])  # the forged notification was refused
    await _approve_all(api, server, db)  # its sweep queries the transfer
    await page.clock.run_for(POLL_MS)
    await expect(wallet.items).to_contain_text(["¥100.00已到账"])
    await expect(wallet.items.get_by_role("button")).to_have_count(0)


async def test_the_wallet_shows_on_every_page_what_was_cancelled_declined_or_not_paid(
    demo, api, server, db
):
    others = [11, 12, 13, 14, 10]
    host = await _host_with_income(demo, api, db, candies=(1000 + sum(others)) * 2 // 5)
    wallet = host.wallet
    await wallet.withdraw(1000 + sum(others) + 1)
    await host.expect_toast("可提现的收益不足")
    for income in (100, *others, 200, 300, 400):
        await wallet.withdraw(income)
        await expect(wallet.items.first).to_contain_text(f"¥{income / 10:.2f}")
    await expect(wallet.items).to_have_count(LIST_PAGE_SIZE)
    await wallet.press("更早的提现")
    await expect(wallet.items).to_have_count(LIST_PAGE_SIZE + 1)
    await expect(wallet.button("更早的提现")).to_have_count(0)
    await wallet.press("取消提现 ¥10.00")
    await expect(wallet.items.last).to_contain_text("已退回")
    rows = (await api.ops("GET", "withdrawals")).ok()["items"]
    declined = next(row["id"] for row in rows if row["fen"] == 2_000)
    (await api.ops("POST", f"withdrawals/{declined}/decline", reason="资料不全")).ok()
    await _approve_all(api, server, db)
    await host.page.clock.run_for(2 * POLL_MS)
    for yuan, outcome in (("30.00", "wrong_name"), ("40.00", "expire")):
        await wallet.confirm_button(yuan).click()
        await host.dialog.confirm_transfer(outcome)
        await host.dialog.expect_closed()
    await notification_statuses(server)
    await host.page.clock.run_for(2 * POLL_MS)
    await expect(wallet.items).to_contain_text(
        ["超过 24 小时没有确认", "姓名与微信实名不符", "资料不全", *["¥1."] * 5, "已取消"]
    )
    await expect(wallet.name_field).to_be_visible()  # to correct it
    await expect(wallet.funds).to_have_text(["1000", "1000"])


async def test_a_large_withdrawal_asks_for_the_name_and_without_an_answer_is_not_repeated(
    demo, api, db
):
    host = await _host_with_income(demo, api, db, candies=8_000)
    wallet = host.wallet
    await expect(wallet.name_field).to_be_hidden()
    await wallet.withdraw(20_000)
    await host.expect_toast("这笔金额需要真实姓名")
    await expect(wallet.name_field).to_be_focused()
    await wallet.name_field.fill("张三")
    await host.page.route("**/qlive_pay/withdraw/", lose_response)
    await wallet.press("提现")
    await host.expect_toast("没有网络，服务器没有回应")
    await host.page.unroute_all(behavior="wait")
    await wallet.press("提现")
    await host.expect_toast("已申请提现 ¥2000.00，等待审核")
    await expect(wallet.items).to_contain_text(["¥2000.00待审核"])
    assert db.withdrawals.count_documents({}) == 1
