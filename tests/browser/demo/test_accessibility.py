"""Layout, axe findings, keyboard and languages of the demo room."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.pages.demo_window import WIDE, seat_guest
from tests.browser.pages.windows import press_enter_on, tab_to
from tests.support.api import BASE
from tests.support.gifts import give

pytestmark = pytest.mark.programs

HOST, MAN, WOMAN = "hongniang1", "建国", "秀英"
KISS = 4


async def test_pages_outside_a_room_fit_a_phone_and_pass_axe_in_both_languages(demo, api):
    host = await api.host()
    window = await demo.open()
    await window.check_layout("entry")
    await window.enter_as("viewer")
    await expect(window.page.locator(".room-card")).to_be_visible()
    await window.check_layout("list")
    invited = {"live_id": host.live_id, "by": "app", "user_id": await window.session("user_id")}
    (await host.post("qlive_room/invitation/", **invited)).ok()
    await expect(window.dialog.root).to_be_visible()
    invitation = window.page.locator(".invitations button")
    await window.check_layout("invited-in", invitation.click)
    await window.dialog.dismiss()
    await window.check_layout("list-invited")
    profile = re.compile("^(我的资料|My profile)$")
    token = {"Authorization": f"QLiveToken {await window.session('token')}"}
    block, blocks = {"user_id": host.id, "blocked": True}, f"{BASE}qlive_user/blocks/"
    (await api.request("POST", f"{BASE}qlive_user/block/", headers=token, json=block)).ok()
    await window.check_layout("profile", lambda: window.press(profile))
    await window.dialog.press(re.compile("^(取消拉黑|Unblock ).+"))
    await expect(window.dialog.root.locator(".audience li")).to_have_count(0)
    assert (await api.request("GET", blocks, headers=token)).ok() == []
    await window.dialog.dismiss()

    async def pay(case, last_step):
        await window.balance.click()
        await window.dialog.pay(case)
        steps = window.dialog.root.locator(".steps li")
        await expect(steps.last).to_have_class(last_step)

    await window.check_layout("recharge", lambda: pay("once", "good"))
    await window.dialog.dismiss()
    await window.check_layout("recharge-cancelled", lambda: pay("cancel", "bad"))
    await window.dialog.dismiss()
    await window.press("开发者面板")
    await expect(window.panel.root).to_be_visible()
    await window.check_layout("panel")
    await window.panel.press("关闭")
    await expect(window.panel.root).to_be_hidden()


async def test_a_room_fits_a_phone_and_passes_axe_in_both_languages(demo, api):
    host, man, woman = await demo.start_live("man", "woman")
    giver = await api.guest("有钱人", 1, await host.panel.live_id(), gold=52)
    (await giver.post("qlive_user/update_userinfo/", show_in_ranking=True)).ok()
    (await give(giver, await host.session("user_id"), KISS)).ok()
    await seat_guest(host, man, MAN, "male")
    await woman.room.press("申请上麦")
    await expect(host.room.queue.locator("li")).to_have_count(1)
    await expect(host.income).to_have_text("+26")
    await host.check_layout("host")
    await man.check_layout("guest")

    async def choose_a_gift():
        await woman.room.press("送礼")
        await woman.dialog.choose("火箭")

    await woman.check_layout("gifts", choose_a_gift)
    await woman.dialog.dismiss()
    await host.room.invite(WOMAN)
    await woman.dialog.expect_text("邀请你上麦")
    await woman.dialog.dismiss()
    await expect(woman.room.button("回应邀请")).to_be_visible()
    await woman.check_layout("invited")
    await woman.check_layout("invitation", lambda: woman.room.press("回应邀请"))

    async def open_audience():
        await host.room.press(re.compile("^(观众|Audience)$"))
        await expect(host.dialog.root.locator("li")).to_have_count(2)

    await host.check_layout("audience", open_audience)
    await host.dialog.dismiss()
    person = host.room.queue.locator(".name")
    await host.check_layout("person", person.click)

    async def open_report():
        await person.click()
        await host.dialog.press(re.compile("^(举报|Report)$"))

    await host.check_layout("report", open_report)
    room_info = re.compile("^(房间资料|Room)$")
    await host.check_layout("room-info", lambda: host.room.press(room_info))
    await host.dialog.dismiss()

    async def make_link():
        await host.room.press(re.compile("^(邀请|Invite)$"))
        await host.dialog.press(re.compile("^(生成邀请链接|Make a link)$"))
        await expect(host.page.locator("#invite-link")).to_be_visible()

    await host.check_layout("invite", make_link)
    switch = host.dialog.root.get_by_role("switch")
    await tab_to(host.page, switch)
    await host.page.keyboard.press("Space")
    await expect(man.room.private_notice).to_be_visible()
    await man.check_layout("private")
    await expect(switch).to_be_focused()
    await host.page.keyboard.press("Space")
    await expect(man.room.private_notice).to_be_hidden()
    await host.dialog.dismiss()
    await man.page.set_viewport_size(WIDE)
    await man.panel.press("断网")
    await man.check_layout("disconnected")
    await host.check_layout("end-dialog", lambda: host.room.press("结束直播"))
    await host.dialog.press("结束直播")
    await expect(woman.room.end_screen).to_contain_text("有钱人")
    await woman.check_layout("ended")


async def test_main_path_works_with_the_keyboard_alone(demo):
    host = await demo.open()
    await press_enter_on(host.page, host.enter_button("host"))
    await press_enter_on(host.page, host.button("开播"))
    await host.room.expect_connected()
    man = await demo.open()
    await man.page.bring_to_front()
    await press_enter_on(man.page, man.enter_button("man"))
    await press_enter_on(man.page, man.room_card(HOST))
    await press_enter_on(man.page, man.room.button("申请上麦"))
    await host.page.bring_to_front()
    await press_enter_on(host.page, host.room.button(f"邀请{MAN}上麦"))
    await man.page.bring_to_front()
    await press_enter_on(man.page, man.dialog.button("接受"))
    await expect(man.room.seat("male")).to_contain_text("你在麦上")

    await press_enter_on(man.page, man.balance)
    await tab_to(man.page, man.dialog.option("^60 金币"))
    await man.page.keyboard.press("ArrowRight")
    await press_enter_on(man.page, man.dialog.button("支付 ¥30.00"))
    await man.dialog.expect_text("到账 +300 金币")
    await man.dialog.dismiss()
    await press_enter_on(man.page, man.room.button("送礼"))
    await tab_to(man.page, man.dialog.option("玫瑰"))
    await man.page.keyboard.press("ArrowRight")
    await press_enter_on(man.page, man.dialog.button("赠送"))
    await expect(man.room.feed).to_contain_text(f"{MAN} 送给 {HOST} 棒棒糖 ×1")
    await man.dialog.expect_closed()
    await press_enter_on(man.page, man.room.button("下麦"))
    await expect(man.room.seat("male")).to_contain_text("虚位以待")
    await expect(man.page.locator(".actions button:focus")).to_have_count(1)  # in the redrawn room


async def test_language_switch_translates_the_page_and_survives_a_reload(demo, api):
    other = await demo.open()
    man = await demo.join((await api.host("hong")).live_id, "man")
    await man.room.press("申请上麦")
    await expect(man.room.feed).to_contain_text(f"{MAN} 申请上麦")
    await man.page.get_by_role("button", name="English", exact=True).click()
    await expect(man.page.locator("html")).to_have_attribute("lang", "en")
    await expect(man.room.feed).to_contain_text(f"{MAN} applies for the mic")
    await expect(man.room.connection).to_have_text("Connected")
    await expect(man.page.get_by_role("button", name="中文", exact=True)).to_be_focused()
    await man.page.get_by_role("button", name="Gifts", exact=True).click()
    await man.dialog.expect_text("Lollipop")
    text = await man.page.evaluate("document.querySelector('dialog').textContent")
    assert not re.search(r"[\u4e00-\u9fff]", text), text
    await man.page.reload()
    await expect(man.room.connection).to_have_text("Connected")
    await expect(other.enter_button("man")).to_be_visible()  # an open window keeps Chinese
