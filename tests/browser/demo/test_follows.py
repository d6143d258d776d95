"""Follows, starts of lives, likes and matches in the demo room."""

import pytest
from playwright.async_api import expect

from tests.browser.pages.demo_window import seat_guest
from tests.support.waiting import until

pytestmark = pytest.mark.programs

HOST, MAN, WOMAN = "hongniang1", "建国", "秀英"


async def _choose(window, name, action):
    await window.room.press(f"对{name}操作")
    await window.dialog.press(action)
    await window.expect_toast("好了")


async def until_listening(server, window):
    """Wait for a socket that has only the user channel: the start of a live is sent once."""
    user_id = await window.session("user_id")

    def sockets():
        channels = [channel for channel in server.context.hub.channels if channel.key == user_id]
        return [one for channel in channels for one in channel.sockets if not one.member_socket]

    await until(sockets)


async def test_a_follower_enters_the_next_live_from_its_toast_and_from_the_list(demo, server):
    host, man = await demo.start_live("man")
    await _choose(man, HOST, "关注")
    await man.room.press("离开直播间")
    await man.press("关注与配对")
    await man.dialog.expect_text(HOST)
    await man.dialog.press(f"进入{HOST}正在进行的直播")
    await man.room.expect_connected()
    await host.room.press("结束直播")
    await host.dialog.press("结束直播")
    await man.press("看看别的直播")
    await host.press("看看别的直播")
    await until_listening(server, man)
    await host.press("开播")
    await man.expect_toast(f"{HOST}开播了")
    await man.press("进去看看")
    await man.room.expect_connected()
    await _choose(man, HOST, "取消关注")
    await man.room.press("离开直播间")
    await man.press("关注与配对")
    await man.dialog.expect_text("还没有关注任何人")


async def test_guests_who_like_one_another_are_matched_until_one_ends_it(demo):
    host, man, woman = await demo.start_live("man", "woman")
    await seat_guest(host, man, MAN, "male")
    await seat_guest(host, woman, WOMAN, "female")
    await _choose(man, WOMAN, "喜欢")
    await man.room.press(f"对{HOST}操作")
    await man.dialog.expect_text(HOST)  # the dialog opens once the profile is read
    await expect(man.dialog.button("喜欢")).to_have_count(0)
    await man.dialog.dismiss()
    await woman.room.press(f"对{MAN}操作")
    await woman.dialog.press("喜欢")
    await man.expect_toast(f"你和{WOMAN}互相喜欢")
    await man.room.press("离开直播间")
    await man.press("关注与配对")
    await man.dialog.press("配对")
    await man.dialog.press(f"结束与{WOMAN}的配对")
    await man.expect_toast("好了")
    await man.dialog.press("关注")
    await man.dialog.press("配对")
    await man.dialog.expect_text("还没有配对")
    await man.dialog.press("关注")
    await man.dialog.expect_text("还没有关注任何人")
