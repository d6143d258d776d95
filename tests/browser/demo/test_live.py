"""A live in the demo room: joining, the mic, dialogs and the end."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.pages.demo_window import WIDE, DemoBrowser, DemoWindow, seat_guest
from tests.support.api import BASE, ApiFixture

pytestmark = pytest.mark.programs

HOST, MAN, WOMAN = "hongniang1", "建国", "秀英"


@pytest.mark.gen_test(timeout=120)
async def test_three_users_complete_a_live_from_entry_to_end(demo: DemoBrowser) -> None:
    host = await demo.open(size=WIDE)
    await host.screenshot("demo-entry")
    await host.entry.enter_as("host")
    await host.screenshot("demo-list-empty")
    await host.room_list.start_live()
    await host.room.expect_connected()
    man = await demo.open()
    await man.entry.enter_as("man")
    await man.room_list.enter_room(HOST)
    await man.room.expect_connected()
    woman = await demo.open_next_user(host, "woman")
    await woman.expect_user(WOMAN)
    await host.room.expect_user_count(3)

    await _put_man_on_mic(host, man, woman)
    await _recharge_and_give_a_kiss(host, man, woman)
    await _check_ranking(man)
    await _end_live(host, man, woman)


async def _put_man_on_mic(host: DemoWindow, man: DemoWindow, woman: DemoWindow) -> None:
    await man.room.apply_for_mic()
    await expect(host.room.queue).to_contain_text(MAN)
    await expect(woman.room.feed).to_contain_text(f"{MAN} 申请上麦")
    await host.screenshot("demo-queue")
    await host.room.invite(MAN)
    await man.invitation.expect_text(f"{HOST}邀请你坐到镜头前")
    await man.invitation.expect_text(re.compile(r"还剩 \d+ 秒"))
    await man.screenshot("demo-invitation")
    await man.invitation.accept()
    for window in (host, man, woman):
        await expect(window.room.seat("male")).to_contain_text(MAN)
        await expect(window.room.seat("male")).to_contain_text("动画代替视频")
        await expect(window.room.feed).to_contain_text(f"{MAN} 上麦了")
    await expect(man.room.seat("male")).to_contain_text("你在麦上")


async def _recharge_and_give_a_kiss(host: DemoWindow, man: DemoWindow, woman: DemoWindow) -> None:
    await woman.room.open_gifts()
    await woman.gifts.expect_text("还差 1")
    await woman.gifts.give()
    await expect(woman.notice).to_have_text("金币不足，请先充值")
    await woman.screenshot("demo-gifts")
    await woman.gifts.open_recharge()
    await woman.recharge.pay("once")
    await woman.recharge.expect_text("到账 +60 金币，现有 60")
    await woman.screenshot("demo-recharge")
    await woman.recharge.close()
    await woman.bar.expect_gold(60)
    await woman.room.open_gifts()
    await woman.gifts.choose("香吻")
    for window in (host, man, woman):
        await window.room.record_flying_gifts()
    await woman.gifts.give()
    for window in (host, man, woman):
        await expect(window.room.feed).to_contain_text(f"{WOMAN} 送给 {HOST} 香吻 ×1")
        assert await window.room.flown_gifts() == 1
    await host.screenshot("demo-gift")
    await woman.bar.expect_gold(8)
    for window in (host, man, woman):
        await expect(window.room.flying_gifts).to_have_count(0)


async def _check_ranking(man: DemoWindow) -> None:
    await man.room.open_ranking()
    await man.ranking.expect_text(re.compile(f"送礼榜.*{WOMAN}.*收益榜.*{HOST}"))
    await man.ranking.today_button.click()
    await expect(man.ranking.today_button).to_have_attribute("aria-pressed", "true")
    await man.ranking.expect_text(WOMAN)
    await man.screenshot("demo-rank")
    await man.ranking.dismiss()


async def _end_live(host: DemoWindow, man: DemoWindow, woman: DemoWindow) -> None:
    await host.room.open_end_dialog()
    await host.end_live.expect_text("3 个人会立即看到直播结束")
    await host.end_live.confirm()
    for window in (host, man, woman):
        await expect(window.room.end_screen).to_contain_text("直播已结束")
        await expect(window.room.end_screen).to_contain_text(re.compile(f"送礼榜.*{WOMAN}"))
    await woman.screenshot("demo-ended")
    await woman.room.return_to_list()
    await expect(woman.room_list.rooms).to_contain_text("现在没有人开播")


@pytest.mark.gen_test(timeout=60)
async def test_each_window_is_a_different_user_with_a_default_or_typed_name(
    demo: DemoBrowser,
) -> None:
    host, man = await demo.start_live("man")
    await host.expect_user(HOST)
    await man.expect_user(MAN)
    await host.resize(WIDE)
    other_man = await demo.open_next_user(host, "man")
    await other_man.expect_user("志强")
    woman = await demo.open()
    await woman.entry.enter_as("woman", "  小美 ")
    await expect(woman.room_list.profile).to_contain_text("小美")
    avatar = woman.room_list.profile.locator("img")
    assert await avatar.evaluate("image => image.naturalWidth") > 0
    viewer = await demo.open()
    await viewer.entry.enter_as("viewer", "路人", gender="0")
    await viewer.room_list.enter_room(HOST)
    await expect(viewer.room.apply_button).to_be_disabled()  # no gender, no seat


@pytest.mark.gen_test(timeout=60)
async def test_host_declines_invites_takes_off_the_mic_and_removes(demo: DemoBrowser) -> None:
    host, man, woman = await demo.start_live("man", "woman")
    await woman.room.apply_for_mic()
    await host.room.decline_application(WOMAN)
    await expect(woman.room.feed).to_contain_text(f"红娘婉拒了 {WOMAN} 的申请")
    await expect(woman.room.apply_button).to_be_enabled()

    await host.room.open_audience()
    await host.audience.expect_text("围观中")
    await host.screenshot("demo-audience", settled=True)
    await host.audience.invite(WOMAN)
    await woman.invitation.expect_text("邀请你上麦")
    await woman.page.keyboard.press("Escape")
    await woman.room.open_invitation()
    await woman.invitation.decline()
    await expect(host.room.feed).to_contain_text(f"{WOMAN} 婉拒了邀请")
    await woman.invitation.expect_closed()

    await seat_guest(host, man, MAN, "male")
    await host.room.take_off_mic(MAN)
    await expect(man.room.seat("male")).to_contain_text("虚位以待")
    await expect(man.room.feed).to_contain_text(f"红娘请 {MAN} 下麦")

    await host.room.open_audience()
    await host.audience.remove(MAN)
    await expect(man.room.end_screen).to_contain_text("你被请出了直播间")
    await man.room.return_to_list()
    await man.room_list.enter_room(HOST)
    await expect(man.notice).to_contain_text("红娘把你请出了这个直播间")


@pytest.mark.gen_test(timeout=60)
async def test_user_is_connected_in_the_latest_window_until_a_logout_elsewhere(
    demo: DemoBrowser, api: ApiFixture
) -> None:
    host, man = await demo.start_live("man")
    second = await demo.open()
    await second.entry.enter_as("man", MAN)
    await second.room.expect_connected()
    await expect(man.room.end_screen).to_contain_text("你在另一个窗口打开了这里")
    await man.room.continue_here()
    await man.room.expect_connected()
    await expect(second.room.end_screen).to_contain_text("你在另一个窗口打开了这里")
    await host.room.expect_user_count(2)

    headers = {"Authorization": f"QLiveToken {await man.session('token')}"}
    (await api.request("GET", f"{BASE}qlive_user/logout/", headers=headers)).ok()
    await expect(man.entry.enter_button("man")).to_be_visible()
    await expect(man.notice).to_have_text("登录已失效，请重新进入")
    await host.room.expect_user_count(1)


@pytest.mark.gen_test(timeout=60)
async def test_markup_in_a_name_is_shown_as_text(demo: DemoBrowser) -> None:
    name = "<b>x</b><i id=q>"
    (host,) = await demo.start_live()
    man = await demo.open()
    await man.entry.enter_as("man", name)
    await man.room_list.enter_room(HOST)
    await man.room.apply_for_mic()
    await expect(host.room.queue).to_contain_text(name)
    await expect(host.room.feed).to_contain_text(f"{name} 申请上麦")
    await expect(host.page.locator("#q")).to_have_count(0)


@pytest.mark.gen_test(timeout=60)
async def test_refused_room_link_shows_the_room_list_with_the_reason(
    demo: DemoBrowser, api: ApiFixture
) -> None:
    man = await demo.open("/?as=man&live=999")
    await expect(man.room_list.rooms).to_be_visible()
    await expect(man.notice).to_have_text("没有这个直播间")
    (host,) = await demo.start_live()
    (room,) = (await api.ops("GET", "rooms")).ok()["items"]
    await host.room.open_end_dialog()
    await host.end_live.confirm()
    await expect(host.room.end_screen).to_contain_text("直播已结束")
    woman = await demo.open(f"/?as=woman&live={room['id']}")
    await expect(woman.room_list.rooms).to_be_visible()
    await expect(woman.notice).to_have_text("这个直播间没有开播")


@pytest.mark.gen_test(timeout=60)
async def test_enter_key_does_not_submit_the_name_during_ime_composition(
    demo: DemoBrowser,
) -> None:
    man = await demo.open()
    name = man.entry.name_field("man")
    await name.fill("xiaoming")
    busy = await name.evaluate(
        "field => { const options = { key: 'Enter', isComposing: true, bubbles: true };"
        " field.dispatchEvent(new KeyboardEvent('keydown', options));"
        " return document.querySelectorAll('[aria-busy]').length }"
    )
    assert busy == 0
    await name.fill("小明")
    await name.press("Enter")
    await expect(man.room_list.profile).to_contain_text("小明")


@pytest.mark.gen_test(timeout=60)
async def test_invitation_does_not_close_an_open_dialog(demo: DemoBrowser) -> None:
    host, man = await demo.start_live("man")
    await man.room.apply_for_mic()
    await man.room.open_gifts()
    await man.gifts.choose("城堡")
    await host.room.invite(MAN)
    await expect(man.notice).to_have_text("邀请你上麦")
    await expect(man.dialog.root).to_have_count(1)
    await expect(man.gifts.gift("城堡")).to_be_checked()
    await man.screenshot("demo-invited-while-giving", settled=True)
    await man.gifts.close()
    await man.room.open_invitation()
    await man.invitation.accept()
    await expect(host.room.seat("male")).to_contain_text(MAN)
