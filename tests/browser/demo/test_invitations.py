"""Private lives, invitations and deputies in the demo room."""

import re

import pytest
from playwright.async_api import expect

pytestmark = pytest.mark.programs

HOST, MAN, WOMAN = "hongniang1", "建国", "秀英"
NOTICE = re.compile("专属房.*审核和留存")


async def _make_private(host):
    """Leaves the dialog open."""
    await host.room.press("邀请")
    await host.dialog.root.get_by_role("switch", name="专属房").check()
    await expect(host.room.private_notice).to_have_text(NOTICE)


async def _make_link(host):
    """The path of a new link, from the dialog."""
    await host.dialog.press("生成邀请链接")
    await host.expect_toast("链接已")
    link = await host.page.get_by_label("邀请链接").input_value()
    return link.removeprefix(host.page.url.rstrip("/"))


async def test_a_private_live_is_entered_by_a_link_or_from_the_dialog_of_an_invitation(demo):
    host, man = await demo.start_live("man")
    viewer = await demo.open("/?as=viewer")
    await expect(viewer.room_card(HOST)).to_be_visible()
    await _make_private(host)
    await expect(man.room.private_notice).to_have_text(NOTICE)
    await expect(man.room.feed).to_contain_text("红娘把直播改为专属房")
    await expect(viewer.room_card(HOST)).to_have_count(0)
    path = await _make_link(host)

    woman = await demo.open(path)
    await woman.page.get_by_text("你收到了直播间的邀请").wait_for()
    await woman.enter_as("woman")
    await woman.room.expect_connected()
    await expect(woman.room.private_notice).to_have_text(NOTICE)
    await viewer.page.goto(demo.address + path)
    await viewer.expect_toast("邀请已失效，或不是发给你的")
    await expect(viewer.rooms).to_be_visible()
    await host.dialog.dismiss()
    await woman.room.say("晚上好")
    await expect(host.room.feed).to_contain_text("晚上好")
    await woman.room.press("离开直播间")

    for answer in ("婉拒", "进入"):
        await host.room.press(f"对{WOMAN}操作")
        await host.dialog.press("邀请进入")
        await woman.dialog.expect_text(f"{HOST}邀请你进入“{HOST}”")
        await woman.dialog.dismiss()
        await woman.press(f"{HOST}邀请你进入“{HOST}”")
        await woman.dialog.press(answer)
        await woman.dialog.expect_closed()
    await woman.room.expect_connected()
    await woman.page.reload()
    await woman.room.expect_connected()
    await host.room.press("邀请")
    await host.dialog.root.get_by_role("switch", name="专属房").uncheck()
    await expect(viewer.room_card(HOST)).to_be_visible()
    await expect(woman.room.private_notice).to_be_hidden()


async def test_an_invitation_waits_for_an_open_dialog_and_ends_with_the_live(demo):
    host, woman = await demo.start_live("woman")
    await expect(woman.room.chat_field).to_be_enabled()
    await woman.room.say("晚上好")
    await expect(host.room.feed).to_contain_text("晚上好")
    await woman.room.press("离开直播间")
    await woman.press("我的资料")
    await expect(woman.dialog.root).to_be_visible()
    await host.room.press(f"对{WOMAN}操作")
    await host.dialog.press("邀请进入")
    await expect(woman.page.locator(".invitations button")).to_have_count(1)
    await woman.dialog.expect_text("身高")
    await woman.page.keyboard.press("Escape")
    await woman.dialog.expect_text("邀请你进入直播间")
    await host.room.press("结束直播")
    await host.dialog.press("结束直播")
    await woman.dialog.expect_closed()
    await expect(woman.page.locator(".invitations button")).to_have_count(0)


async def test_a_deputy_declines_mutes_and_removes_until_they_resign(demo):
    host, man, woman = await demo.start_live("man", "woman")
    await host.room.press("观众")
    await host.dialog.press(f"对{WOMAN}操作")
    await host.dialog.press("设为房管")
    await expect(man.room.feed).to_contain_text(f"{WOMAN} 成为房管")
    await man.room.press("申请上麦")
    await expect(woman.room.button(f"邀请{MAN}上麦")).to_have_count(0)
    await woman.room.press(f"婉拒{MAN}的申请")
    await expect(man.room.feed).to_contain_text(f"房管 {WOMAN} 婉拒了 {MAN} 的申请")

    await woman.room.press("观众")
    await woman.dialog.press(f"对{MAN}操作")
    await expect(woman.dialog.button("设为房管")).to_have_count(0)
    await woman.dialog.press("禁言 10 分钟")
    await expect(man.room.chat_field).to_have_attribute("placeholder", re.compile("你被禁言了"))
    await woman.room.press(f"对{HOST}操作")
    await expect(woman.dialog.button("举报")).to_be_visible()
    await expect(woman.dialog.button("禁言 10 分钟")).to_have_count(0)
    await woman.dialog.dismiss()
    await woman.room.press("观众")
    await woman.dialog.press(f"请{MAN}离开一分钟")
    await expect(man.room.end_screen).to_contain_text("你被请出了直播间")

    await woman.room.press("观众")
    await woman.dialog.press("不再当房管")
    await expect(host.room.feed).to_contain_text(f"{WOMAN} 不再是房管")
    await expect(woman.room.button("观众")).to_have_count(0)


async def test_the_list_shows_rooms_with_a_free_seat_or_of_the_own_province(demo, api):
    host = await api.host()
    guest = await api.guest("伯特", 1, host.live_id, gold=1)
    man = await demo.open("/?as=man")
    card, seat = man.room_card("红娘"), man.page.get_by_label("按空位筛选")
    await expect(card).to_be_visible()
    (await guest.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    invited = {"live_id": host.live_id, "user_id": guest.id}
    (await host.post("qlive_room/invite_micro/", **invited)).ok()
    (await guest.post("qlive_room/accept_micro/", live_id=host.live_id)).ok()
    await seat.select_option("male")
    await expect(man.rooms).to_have_text("没有符合条件的直播间")
    await seat.select_option("female")
    await expect(card).to_be_visible()
    await man.page.get_by_label("同省").check()
    await expect(man.rooms).to_have_text("没有符合条件的直播间")
    await man.page.get_by_label("同省").uncheck()
    await expect(card).to_be_visible()
