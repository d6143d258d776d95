"""Recharges and gifts in the demo room."""

from datetime import UTC, datetime

import pytest
from playwright.async_api import expect

from devtools.simulator import notifications
from tests.browser.pages.demo_window import lose_response
from tests.support.gifts import give
from tests.support.waiting import until

pytestmark = pytest.mark.programs

FIRST_WAIT_MS = 7_000
"""A little longer than web/demo/recharge.js waits before it shows that gold has not arrived."""
EMPTY_BALANCE = "0 金币，充值"
# A function: the page's policy forbids that an expression is evaluated again at the next poll.
ARE_LOADED = "() => [...document.images].every((image) => image.complete)"
NO_GIFTS = {"count": 0, "next": None, "previous": None, "results": []}


async def test_recharge_dialog_shows_each_payment_outcome_and_gold_is_credited_once(
    demo, monkeypatch
):
    woman = await demo.open("/?as=woman")
    await woman.page.route("**/qlive_pay/", lambda route: route.fulfill(json=[]))
    await woman.press(EMPTY_BALANCE)
    await woman.dialog.expect_text("现在没有可以充值的档位")
    await woman.dialog.dismiss()
    await woman.page.unroute_all(behavior="wait")

    await woman.page.clock.install()
    await woman.press(EMPTY_BALANCE)
    steps = woman.dialog.root.get_by_role("status", name="支付经过")
    await woman.dialog.pay("cancel")
    await expect(steps).to_contain_text("没有入账，余额仍是 0 金币")
    await woman.dialog.pay("twice", gold=300)
    await expect(steps).to_contain_text("通知了两次，只入账一次：+300 金币，现有 300")
    monkeypatch.setattr(notifications, "LATE_SECONDS", 1.0)
    await woman.dialog.pay("late")
    await expect(steps).to_contain_text("到账 +60 金币，现有 360")
    for case, reason in (("forged", "被篡改的通知已被拒绝"), ("wrong_amount", "金额与订单不符")):
        await woman.dialog.pay(case)
        await expect(steps).to_contain_text("正在等服务器入账")
        await woman.page.clock.run_for(FIRST_WAIT_MS)
        await expect(steps).to_contain_text(reason)
        await woman.expect_gold(360)


async def test_late_gold_arrives_after_the_dialog_was_closed_but_not_after_signing_out(
    demo, server, db
):
    woman = await demo.open("/?as=woman")
    await woman.page.clock.install()

    async def pay_without_notification():
        await woman.balance.click()
        await woman.dialog.pay("never")
        await woman.dialog.expect_text("正在等服务器入账")
        await woman.page.clock.run_for(FIRST_WAIT_MS)
        await woman.dialog.expect_text("没有到账：通知没有来")
        await woman.dialog.dismiss()

    await pay_without_notification()
    due = {"$set": {"due_at": datetime.now(UTC)}}  # as a minute later
    assert db.orders.update_one({"state": "created"}, due).modified_count == 1
    server.context.services.payments.unpaid_orders.jobs["jsapi"].wake()
    await until(lambda: bool(db.orders.find_one({"state": "paid"})))
    await woman.expect_toast("查单后到账 +60 金币，现有 60")

    await pay_without_notification()
    await woman.press("退出登录")
    name = woman.name_field("woman")
    await name.fill("小美")
    await woman.page.wait_for_function(ARE_LOADED)
    request_count = len(demo.log.urls)
    await woman.page.clock.run_for(30_000)
    await woman.page.evaluate("fetch('/demo/mark.svg').then(response => response.text())")
    assert demo.log.urls[request_count:] == [f"{demo.address}/demo/mark.svg"]
    await expect(name).to_have_value("小美")


async def test_income_of_a_gift_arrives_on_the_user_channel_without_a_call(demo, api):
    (host,) = await demo.start_live()
    await expect(host.room.chat_field).to_be_enabled()
    giver = await api.guest("有钱人", 1, await host.panel.live_id(), gold=5)
    request_count = len(demo.log.urls)
    (await give(giver, await host.session("user_id"))).ok()
    await expect(host.income).to_have_text("+2")
    await expect(host.panel.own_frames.filter(has_text="balance").first).to_be_attached()
    assert not [url for url in demo.log.urls[request_count:] if "get_userinfo" in url]


async def test_gift_without_a_response_is_shown_as_pending_retried_and_paid_once(
    demo, close_socket, api
):
    woman = await demo.join((await api.host()).live_id, "woman")
    await woman.page.route("**/qlive_gift/?*", lambda route: route.fulfill(json=NO_GIFTS))
    await woman.room.press("送礼")
    await woman.dialog.expect_text("还没有上架的礼物")
    await woman.dialog.dismiss()
    await woman.page.unroute_all(behavior="wait")

    await woman.press(EMPTY_BALANCE)
    await woman.dialog.pay("once", gold=300)
    await woman.expect_gold(300)
    await woman.dialog.dismiss()
    await woman.page.route("**/push_gift/**", lose_response)
    await woman.room.press("送礼")
    await woman.dialog.choose("香吻")
    await woman.dialog.press("赠送")
    give_button = woman.dialog.button("赠送")
    for _ in range(2):
        await woman.dialog.expect_text("1 件礼物还没有回音")
        await expect(give_button).to_have_count(0)
        await woman.dialog.dismiss()
        await woman.room.press("送礼")

    await woman.page.unroute_all(behavior="wait")
    await close_socket(await woman.session("user_id"))
    await woman.expect_toast("上次没等到回音的礼物已送达")
    await woman.expect_gold(248)
    await give_button.click()  # a second gift, a rose
    await expect(woman.room.feed).to_contain_text("秀英 送给 红娘 玫瑰 ×1")
    await woman.expect_gold(247)
    await expect(woman.room.feed.get_by_text("香吻")).to_have_count(1)
