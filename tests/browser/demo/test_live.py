"""A live in the demo room: joining, the mic, dialogs and the end."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.pages.demo_window import WIDE, seat_guest
from tests.browser.pages.windows import take_screenshot
from tests.support.api import BASE
from tests.support.paths import ROOT
from tests.support.waiting import until

pytestmark = pytest.mark.programs

ROOM = "老乡会"
HOST, MAN, WOMAN = "hongniang1", "建国", "秀英"
PICTURE = ROOT / "docs/pictures/demo-room.png"
IS_LOADED = "image => image.complete && image.naturalWidth > 0"
PRESS_ENTER_WHILE_COMPOSING = """field => {
    const options = { key: 'Enter', isComposing: true, bubbles: true };
    field.dispatchEvent(new KeyboardEvent('keydown', options));
    return document.querySelectorAll('[aria-busy]').length;
}"""


async def test_three_users_complete_a_live_from_entry_to_end(demo):
    host = await demo.open(size=WIDE)
    await host.enter_as("host")
    await host.press("开播")
    await host.room.expect_connected()
    man = await demo.open()
    await man.enter_as("man")
    await man.room_card(HOST).click()
    await man.room.expect_connected()
    woman = await demo.open_next_user(host, "woman")
    await woman.expect_user(WOMAN)
    await host.room.expect_user_count(3)

    await _put_man_on_mic(host, man, woman)
    await _reload(host, man, woman)
    await _recharge_and_give_a_kiss(host, man, woman)

    await man.room.press("排行")
    await man.dialog.expect_text(re.compile(f"送礼榜.*{WOMAN}.*收益榜.*{HOST}"))
    today = man.dialog.button("今日")
    await today.click()
    await expect(today).to_have_attribute("aria-pressed", "true")
    await man.dialog.expect_text(WOMAN)
    await man.dialog.dismiss()

    await host.room.press("结束直播")
    await host.dialog.expect_text("3 个人会立即看到直播结束")
    await host.dialog.press("结束直播")
    for window in (host, man, woman):
        await expect(window.room.end_screen).to_contain_text("直播已结束")
        await expect(window.room.end_screen).to_contain_text(re.compile(f"送礼榜.*{WOMAN}"))
    await woman.room.press("看看别的直播")
    await expect(woman.rooms).to_contain_text("现在没有人开播")


async def _put_man_on_mic(host, man, woman):
    await man.room.press("申请上麦")
    await expect(host.room.queue).to_contain_text(MAN)
    await expect(woman.room.feed).to_contain_text(f"{MAN} 申请上麦")
    await host.room.invite(MAN)
    await man.dialog.expect_text(f"{HOST}邀请你坐到镜头前")
    await man.dialog.expect_text(re.compile(r"还剩 \d+ 秒"))
    await man.dialog.press("接受")
    for window in (host, man, woman):
        await expect(window.room.seat("male")).to_contain_text(MAN)
        await expect(window.room.seat("male")).to_contain_text("动画代替视频")
        await expect(window.room.feed).to_contain_text(f"{MAN} 上麦了")
    await expect(man.room.seat("male")).to_contain_text("你在麦上")


async def _reload(host, man, woman):
    """A reload restores seats, queue and invitation."""
    await woman.room.press("申请上麦")
    await host.room.invite(WOMAN)
    await expect(woman.dialog.root).to_be_visible()
    for window in (host, man, woman):
        await window.page.reload()
        await window.room.expect_connected()
        await expect(window.room.seat("male")).to_contain_text(MAN)
    await expect(host.room.button("结束直播")).to_be_visible()
    await expect(host.room.queue).to_contain_text(WOMAN)
    await expect(man.room.button("下麦")).to_be_visible()
    await woman.dialog.press("婉拒")
    await woman.dialog.expect_closed()


async def _recharge_and_give_a_kiss(host, man, woman):
    await woman.room.press("送礼")
    await woman.dialog.expect_text("还差 1")
    await woman.dialog.press("赠送")
    await woman.expect_toast("金币不足，请先充值")
    await woman.dialog.press("充值")
    await woman.dialog.pay("once")
    await woman.dialog.expect_text("到账 +60 金币，现有 60")
    await woman.dialog.press("关闭")
    await woman.expect_gold(60)
    await woman.room.press("送礼")
    await woman.dialog.choose("香吻")
    for window in (host, man, woman):
        await window.room.record_flying_gifts(motion=window is not man)
    await woman.dialog.press("赠送")
    for window in (host, man, woman):
        await expect(window.room.feed).to_contain_text(f"{WOMAN} 送给 {HOST} 香吻 ×1")
        assert await window.room.flown_gifts() == (0 if window is man else 1)
    await expect(host.income).to_have_text("+26")
    await take_screenshot(host.page, "demo-gift")
    await woman.expect_gold(8)
    await expect(host.page.locator(".flying")).to_have_count(0)


async def test_each_window_is_a_different_user_with_a_default_or_typed_name(demo):
    man = await demo.open("/?as=man&live=999", size=WIDE)
    await expect(man.rooms).to_be_visible()
    await man.expect_toast("没有这个直播间")
    await man.expect_user(MAN)
    (host,) = await demo.start_live()
    await man.room_card(HOST).click()
    await man.room.expect_connected()
    other_man = await demo.open_next_user(man, "man")
    await other_man.expect_user("志强")
    await _change_room(host, man)

    woman, markup = await demo.open(), "<b>x</b><i id=q>"
    name = woman.name_field("woman")
    await name.fill("xiaomei")
    assert await name.evaluate(PRESS_ENTER_WHILE_COMPOSING) == 0
    await name.fill(f"  {markup} ")
    await woman.page.get_by_label("女嘉宾的头像").set_input_files(PICTURE)
    await name.press("Enter")
    await expect(woman.profile).to_contain_text(markup)
    for picture in (woman.profile, woman.room_card(ROOM)):
        image = picture.locator("img").first
        await expect(image).to_have_attribute("src", re.compile("^/sim/cos/pictures/"))
        await until(lambda image=image: image.evaluate(IS_LOADED))
    await woman.press("我的资料")
    await woman.page.get_by_label("身高（厘米）").fill("168")
    await woman.dialog.press("保存")
    await woman.dialog.expect_closed()
    await woman.press("我的资料")
    await expect(woman.page.get_by_label("身高（厘米）")).to_have_value("168")
    await woman.dialog.dismiss()
    await woman.room_card(ROOM).click()
    await woman.room.press("申请上麦")
    await expect(host.room.queue).to_contain_text(markup)
    await expect(host.room.feed).to_contain_text(f"{markup} 申请上麦")
    await expect(host.page.locator("#q")).to_have_count(0)

    viewer = await demo.open()
    await viewer.enter_as("viewer", "路人", gender="0")
    await viewer.room_card(ROOM).click()
    await expect(viewer.room.button("申请上麦")).to_be_disabled()  # no gender, no seat


async def _change_room(host, man):
    await host.room.press("房间资料")
    await host.page.get_by_label("房间名").fill(ROOM)
    await host.page.get_by_label("换封面").set_input_files(PICTURE)
    await host.dialog.press("保存")
    for window in (host, man):
        await expect(window.page.locator("h1")).to_have_text(ROOM)
        await expect(window.room.feed).to_contain_text(f"房间资料更新了：{ROOM}")
    image = man.page.locator(".bar img")
    await expect(image).to_have_attribute("src", re.compile("^/sim/cos/pictures/cover/"))

    name = host.page.get_by_label("房间名")
    for title in ("risky 的房间", "review 的房间"):  # refused; in review, which others do not see
        await host.room.press("房间资料")
        await name.fill(title)
        await host.dialog.press("保存")
        if title == "risky 的房间":
            await host.expect_toast("这个名字或图片不能用，请换一个")
            await host.dialog.dismiss()
    await host.dialog.expect_closed()
    await host.room.press("房间资料")
    await expect(name).to_have_value("review 的房间")
    await expect(host.dialog.root.locator(".tag")).to_have_text("审核中")
    await host.dialog.dismiss()
    await expect(man.page.locator("h1")).to_have_text(ROOM)


async def test_host_declines_invites_takes_off_the_mic_and_removes(demo):
    host, man, woman = await demo.start_live("man", "woman")
    await woman.room.press("申请上麦")
    await host.room.press(f"婉拒{WOMAN}的申请")
    await expect(woman.room.feed).to_contain_text(f"红娘婉拒了 {WOMAN} 的申请")
    await expect(woman.room.button("申请上麦")).to_be_enabled()

    await woman.room.press("送礼")
    await woman.dialog.choose("城堡")
    await host.room.press("观众")
    await host.dialog.expect_text("围观中")
    await host.dialog.press(f"邀请{WOMAN}上麦")
    await woman.expect_toast("邀请你上麦")
    await expect(woman.dialog.root).to_have_count(1)  # the dialog that is open stays
    await expect(woman.dialog.option("城堡")).to_be_checked()
    await woman.dialog.press("关闭")
    await woman.room.press("回应邀请")
    await woman.dialog.press("婉拒")
    await expect(host.room.feed).to_contain_text(f"{WOMAN} 婉拒了邀请")

    await seat_guest(host, man, MAN, "male")
    await host.room.press(f"请{MAN}下麦")
    await expect(man.room.seat("male")).to_contain_text("虚位以待")
    await expect(man.room.feed).to_contain_text(f"红娘请 {MAN} 下麦")

    await _mute_report_and_block(host, man, woman)

    await host.room.press("观众")
    await host.dialog.press(f"请{MAN}离开一分钟")
    await expect(man.room.end_screen).to_contain_text("你被请出了直播间")
    await man.room.press("看看别的直播")
    await man.room_card(HOST).click()
    await man.expect_toast("你被请出了这个直播间")
    await host.room.press("观众")
    await host.dialog.press(f"让{MAN}回来")
    await host.dialog.expect_closed()
    await man.room_card(HOST).click()
    await man.room.expect_connected()


async def _mute_report_and_block(host, man, woman):
    for window in (host, man, woman):
        await expect(window.room.chat_field).to_be_enabled()
    await man.room.say("<b>晚上好")
    for window in (host, man, woman):
        await expect(window.room.feed).to_contain_text(f"{MAN}<b>晚上好")
    await man.room.say("加微信吧")
    await man.expect_toast("有不能发的词，没有发出去")

    await host.room.press(f"对{MAN}操作")
    await host.dialog.press("禁言 10 分钟")
    await host.expect_toast("好了")
    await expect(man.room.chat_field).to_be_disabled()
    left = re.compile(r"你被禁言了，还剩 (10:00|0\d:\d\d)")
    await expect(man.room.chat_field).to_have_attribute("placeholder", left)
    await expect(woman.room.chat_field).to_be_enabled()
    await host.room.press(f"对{MAN}操作")
    await host.dialog.press("解除禁言")
    await expect(man.room.chat_field).to_be_enabled()
    for action, is_on in (("全员禁言", False), ("解除全员禁言", True)):
        await host.room.press("观众")
        await host.dialog.press(action)
        await expect(woman.room.chat_field).to_be_enabled(enabled=is_on)
        await expect(host.room.chat_field).to_be_enabled()

    await woman.room.press(f"对{MAN}操作")
    await woman.dialog.press("举报")
    await woman.dialog.choose("诈骗")
    await woman.dialog.press("提交")
    await woman.expect_toast("已收到举报，谢谢")
    await woman.room.press(f"对{MAN}操作")
    await woman.dialog.press("拉黑")
    await woman.expect_toast("好了")
    await woman.room.press(f"对{MAN}操作")
    await woman.dialog.press("取消拉黑")
    await woman.dialog.expect_closed()


async def test_user_is_connected_in_the_latest_window_until_a_logout_elsewhere(demo, api):
    host, man = await demo.start_live("man")
    second = await demo.open()
    await second.enter_as("man", MAN)
    await second.room.expect_connected()
    await expect(man.room.end_screen).to_contain_text("你在另一个窗口打开了这里")
    await man.room.press("在这里继续")
    await man.room.expect_connected()
    await expect(second.room.end_screen).to_contain_text("你在另一个窗口打开了这里")
    await host.room.expect_user_count(2)

    headers = {"Authorization": f"QLiveToken {await man.session('token')}"}
    (await api.request("GET", f"{BASE}qlive_user/logout/", headers=headers)).ok()
    await expect(man.enter_button("man")).to_be_visible()
    await man.expect_toast("登录已失效，请重新进入")
    await host.room.expect_user_count(1)
