"""Rooms in the console: watching, ending, removing users."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.pages.windows import take_screenshot

pytestmark = pytest.mark.programs


async def test_room_page_shows_events_live_and_ends_the_live_with_a_reason(console, api, live_room):
    anna, bert, room = live_room.anna, live_room.bert, console.room
    await console.open("rooms")
    row = console.list.row("红娘小美")
    await expect(row).to_contain_text(re.compile("直播中.*安娜"))
    await console.list.search.fill("伊万")
    await expect(row).to_have_count(0)
    await console.list.search.fill(anna.id)
    await console.list.open_link("红娘小美", "进入")

    past = ("伯特 申请上麦（男嘉宾）", "安娜 上麦（女嘉宾）", "安娜 申请上麦（女嘉宾）")
    await expect(room.events).to_have_text([re.compile(f"{text}$") for text in past])
    await expect(room.seat("女嘉宾")).to_contain_text("安娜")
    await expect(room.seat("男嘉宾")).to_contain_text("空位")
    await expect(room.queue).to_contain_text("伯特")
    params = {"live_id": live_room.host.live_id}
    await api.grant(bert, 100)
    (await bert.post("qlive_room/accept_micro/", **params)).ok()
    await room.expect_event("伯特 上麦（男嘉宾）")
    await expect(room.queue).to_contain_text("没有人申请或受邀")
    named = {"user_id": anna.id, "on": 1}
    (await live_room.host.post("qlive_room/deputy/", **named)).ok()
    await room.expect_event("安娜 成为房管")
    await expect(room.head).to_contain_text(re.compile("房管.*安娜"))
    await take_screenshot(console.page, "ops-room")
    await expect(room.head).to_contain_text(re.compile("谁能进入.*公开"))
    (await live_room.host.post("qlive_room/update_room/", visibility="private", **params)).ok()
    await room.expect_event("红娘小美 把直播改为专属")
    await expect(room.head).to_contain_text(re.compile("谁能进入.*专属"))

    for minutes, text in (
        (5, f"{bert.id} 被房管 安娜 禁言"),
        (0, f"房管 安娜 让 {bert.id} 可以发言了"),
    ):
        muted = {"user_id": bert.id, "minutes": minutes}
        (await anna.post("qlive_room/mute/", **muted, **params)).ok()
        await room.expect_event(text)

    (await bert.get("qlive_room/leave_micro/", **params)).ok()  # all between two polls
    (await bert.post("qlive_room/apply_micro/", **params)).ok()
    (await bert.post("qlive_room/refuse_micro/", **params)).ok()
    rose = {"user_id": anna.id, "gift_id": 1, "num": 3, "request_id": "r"}
    (await bert.get("qlive_gift/push_gift/", **rose)).ok()
    for text in (
        "伯特 下麦（男嘉宾）：自己离开",
        "伯特 离开队列：取消了申请",
        "伯特 送给 安娜：玫瑰 × 3（3 金币）",
    ):
        await room.expect_event(text)

    await console.button("结束直播").click()
    await console.dialog.expect_text("房内 3 人会立即收到")
    await console.dialog.button("结束直播").click()
    await console.dialog.expect_text("必填")
    await console.dialog.submit("结束直播", 原因="有人投诉")
    await console.expect_done("的直播已结束")
    await expect(room.head).to_contain_text("已结束")
    await room.expect_event("直播结束：运营结束")
    await expect(console.button("结束直播")).to_have_count(0)


async def test_polling_keeps_the_focused_or_pressed_button_of_a_room(console, api, live_room):
    mouse, polled_path = console.page.mouse, f"/rooms/{live_room.host.live_id}?"
    await console.page.clock.install()
    await console.open(f"rooms/{live_room.host.live_id}")
    ban = console.room.seat(live_room.anna.id).get_by_role("button", name="封禁")
    await ban.focus()
    await api.guest("卡尔", 1, live_room.host.live_id)
    await expect(console.page.locator(".counts")).to_contain_text("4")
    await console.wait_for_polls(polled_path, 2)
    await expect(ban).to_be_focused()
    box = await ban.bounding_box()
    assert box
    await mouse.move(box["x"] + 4, box["y"] + 4)
    await mouse.down()
    await console.wait_for_polls(polled_path, 2)
    await mouse.up()
    await console.dialog.expect_text("立即生效")
    await console.page.keyboard.press("Escape")
    await expect(ban).to_be_focused()


async def test_operator_removes_a_user_from_a_room_and_lets_them_return(console, live_room):
    anna, room = live_room.anna, console.room
    await console.open(f"rooms/{live_room.host.live_id}")
    row = room.users.filter(has_text=anna.id)
    await expect(row).to_contain_text("女嘉宾")
    await console.list.search.fill("安")
    await expect(room.users).to_have_count(2)
    await row.get_by_role("button", name="请出房间").click()
    await console.dialog.expect_text("其他直播间不受影响")
    await console.dialog.submit("请出房间", 多少分钟内不能回来="30", 原因="辱骂他人")
    await console.expect_done("“安娜”已被请出")
    await expect(row).to_have_count(0)
    await expect(room.free_seats).to_have_count(2)
    await room.removed_users.get_by_role("button", name="允许回来").click()
    await console.dialog.submit("允许回来", 原因="已道歉")
    await console.expect_done("“安娜”可以回来了")
    await expect(console.page.get_by_text("没有人被请出")).to_be_visible()
