"""Recharges and gifts in the demo room."""

from asyncio import Queue
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.async_api import Route, expect
from pymongo.database import Database

from devtools.simulator import notifications
from runtime.process import ServerProcess
from tests.browser.pages.demo_window import DemoBrowser, lose_response
from tests.support.api import ApiFixture
from tests.support.waiting import until

pytestmark = pytest.mark.programs

FIRST_LOOKS_MS, LATER_LOOKS_MS = 7_000, 3_000
"""How long web/demo/recharge.js waits for gold, and its interval of later checks."""


@pytest.mark.gen_test(timeout=90)
async def test_recharge_dialog_shows_each_payment_outcome_and_gold_is_credited_once(
    demo: DemoBrowser, monkeypatch: pytest.MonkeyPatch
) -> None:
    woman = await demo.open("/?as=woman")
    await woman.page.clock.install()
    await woman.bar.open_recharge()
    steps = woman.recharge.steps
    await woman.recharge.pay("cancel")
    await expect(steps).to_contain_text("没有入账，余额仍是 0 金币")
    await woman.recharge.pay("twice", gold=300)
    await expect(steps).to_contain_text("通知了两次，只入账一次：+300 金币，现有 300")
    monkeypatch.setattr(notifications, "LATE_SECONDS", 1.0)
    await woman.recharge.pay("late")
    await expect(steps).to_contain_text("正在等服务器入账")
    await expect(steps).to_contain_text("到账 +60 金币，现有 360")
    for case, reason in (("forged", "被篡改的通知已被拒绝"), ("wrong_amount", "金额与订单不符")):
        await woman.recharge.pay(case)
        await expect(steps).to_contain_text("正在等服务器入账")
        await woman.page.clock.run_for(FIRST_LOOKS_MS)
        await expect(steps).to_contain_text(reason)
        await woman.bar.expect_gold(360)
    await woman.screenshot("demo-recharge-forged")


@pytest.mark.gen_test(timeout=90)
async def test_gold_with_a_lost_notification_arrives_after_the_dialog_was_closed(
    demo: DemoBrowser, server: ServerProcess, db: Database[dict[str, Any]]
) -> None:
    woman = await demo.open("/?as=woman")
    await woman.page.clock.install()
    await woman.bar.open_recharge()
    await woman.recharge.pay("never")
    await woman.recharge.expect_text("正在等服务器入账")
    await woman.page.clock.run_for(FIRST_LOOKS_MS)
    await woman.recharge.expect_text("没有到账：通知没有来")
    await woman.page.keyboard.press("Escape")
    due = {"$set": {"due_at": datetime.now(UTC)}}  # as a minute later
    assert db.orders.update_one({"state": "created"}, due).modified_count == 1
    server.context.services.unpaid_orders.jobs["jsapi"].nudge()
    await until(lambda: bool(db.orders.find_one({"state": "paid"})))
    await woman.page.clock.run_for(LATER_LOOKS_MS)
    await expect(woman.notice).to_have_text("查单后到账 +60 金币，现有 60")


@pytest.mark.gen_test(timeout=60)
async def test_gift_without_a_response_is_shown_as_pending_retried_and_paid_once(
    demo: DemoBrowser, close_socket: Callable[[str], Awaitable[None]], api: ApiFixture
) -> None:
    woman = await demo.join((await api.host()).live_id, "woman")
    await woman.bar.open_recharge()
    await woman.recharge.pay("once", gold=300)
    await woman.bar.expect_gold(300)
    await woman.recharge.close()
    await woman.page.route("**/push_gift/**", lose_response)
    await woman.room.open_gifts()
    await woman.gifts.choose("香吻")
    await woman.gifts.give()
    await woman.gifts.expect_text("1 件礼物还没有回音")
    await expect(woman.gifts.give_button).to_have_count(0)
    await woman.screenshot("demo-unanswered", settled=True)
    await woman.page.keyboard.press("Escape")
    await woman.room.open_gifts()
    await woman.gifts.expect_text("1 件礼物还没有回音")
    await expect(woman.gifts.give_button).to_have_count(0)

    await woman.page.unroute_all(behavior="wait")
    await close_socket(await woman.session("user_id"))
    await expect(woman.notice).to_have_text("上次没等到回音的礼物已送达")
    await expect(woman.gifts.give_button).to_be_visible()
    await woman.bar.expect_gold(248)
    await woman.gifts.give()  # a second gift, a rose
    await expect(woman.room.feed).to_contain_text("秀英 送给 红娘 玫瑰 ×1")
    await woman.bar.expect_gold(247)
    await expect(woman.room.feed.get_by_text("香吻")).to_have_count(1)


@pytest.mark.gen_test(timeout=60)
async def test_burst_of_gifts_refreshes_the_balance_with_one_request_at_a_time(
    demo: DemoBrowser, api: ApiFixture
) -> None:
    (host,) = await demo.start_live()
    (room,) = (await api.ops("GET", "rooms")).ok()["items"]
    giver = await api.guest("有钱人", 1, room["id"], gold=9000)
    gifts = (await giver.get("qlive_gift/")).ok()["results"]
    ring = next(gift for gift in gifts if gift["name"] == "钻戒")
    params = {"user_id": await host.session("user_id"), "gift_id": ring["id"]}

    async def give_rings(count: int) -> None:
        for _ in range(count):
            (await giver.get("qlive_gift/push_gift/", **params)).ok()

    held: Queue[Route] = Queue()
    await host.page.route("**/get_userinfo/**", held.put)
    rings = host.room.feed.get_by_text("钻戒")
    await give_rings(5)
    await expect(rings).to_have_count(5)
    async with host.page.expect_event("requestfailed"):
        await (await held.get()).abort("internetdisconnected")  # causes no error message
    assert held.empty()
    await give_rings(3)
    await expect(rings).to_have_count(8)
    await (await held.get()).continue_()
    await (await held.get()).continue_()  # one for all gifts during the first request
    income = 8 * ring["gold"] // 2
    await expect(host.bar.income).to_have_text(f"+{income}")
    await expect(host.bar.recharge_button(0, income)).to_be_visible()
    assert held.empty()


@pytest.mark.gen_test(timeout=60)
async def test_page_stops_looking_for_a_payment_after_signing_out(demo: DemoBrowser) -> None:
    woman = await demo.open("/?as=woman")
    await woman.page.clock.install()
    await woman.bar.open_recharge()
    await woman.recharge.pay("never")
    await woman.recharge.expect_text("正在等服务器入账")
    await woman.page.clock.run_for(10_000)
    await expect(woman.recharge.root).to_contain_text("没有到账：通知没有来")
    await woman.recharge.close()
    await woman.room_list.sign_out()
    name = woman.entry.name_field("woman")
    await name.fill("小美")
    request_count = len(demo.log.urls)
    await woman.page.clock.run_for(30_000)
    await woman.page.evaluate("fetch('/demo/mark.svg').then(response => response.text())")
    assert demo.log.urls[request_count:] == [f"{demo.address}/demo/mark.svg"]
    await expect(name).to_have_value("小美")


@pytest.mark.gen_test(timeout=60)
async def test_dialogs_without_gifts_or_recharge_blocks_say_so(
    demo: DemoBrowser, api: ApiFixture
) -> None:
    woman = await demo.join((await api.host()).live_id, "woman")
    await woman.page.route("**/qlive_pay/", lambda route: route.fulfill(json=[]))
    no_gifts: dict[str, Any] = {"count": 0, "next": None, "previous": None, "results": []}
    await woman.page.route("**/qlive_gift/?*", lambda route: route.fulfill(json=no_gifts))
    await woman.room.open_gifts()
    await woman.gifts.expect_text("还没有上架的礼物")
    await woman.page.keyboard.press("Escape")
    await woman.bar.open_recharge()
    await woman.recharge.expect_text("现在没有可以充值的档位")
