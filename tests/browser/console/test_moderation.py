"""The moderation queue in the console."""

from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import expect

from core.clock import now_ms
from rooms.moderation import Item
from tests.browser.pages.windows import take_screenshot
from tests.support.moderation import HIDDEN

pytestmark = pytest.mark.programs
LIKE = "/static/gifts/rose.svg"


@pytest.fixture
def changes():
    return {"moderation": HIDDEN}


async def test_items_are_decided_with_the_keyboard_and_reports_with_their_evidence(
    console, api, server, live_room
):
    context, (host, anna, bert) = server.context, live_room
    items, profiles = context.stores.moderation, context.services.accounts.profiles
    now = datetime.now(UTC) - timedelta(minutes=5)
    report = Item("aa01", "report", bert.id, now, host.live_id, state="review", label="abuse")
    report.evidence.update(
        reporter=anna.id,
        text="一直骂人",
        nickname="伯特",
        face_url=LIKE,
        room_name="小美的房间",
        room_image=LIKE,
        lines=[
            {"user_id": bert.id, "text": "不好听的话", "at": now_ms()},
            {"user_id": anna.id, "text": "请不要这样", "at": now_ms()},
        ],
        events=[{"type": "micro_apply", "at": now_ms(), "data": {"nickname": "伯特", "gender": 1}}],
    )
    await items.add(report)
    face = {"value": LIKE, "before": "", "state": "review", "label": "20002"}
    await items.add(Item("bb02", "face", anna.id, now, **face))
    for user, name in ((anna, "review 安娜"), (bert, "review 伯特")):
        stored = await context.stores.users.get(user.id)
        await profiles.update(stored, nickname=name)

    page, queue = console.page, console.queue
    await console.open("overview")
    await expect(console.table("待审核内容").filter(has_text="昵称2")).to_have_count(1)
    await console.go("moderation")
    await expect(queue.rows).to_have_count(4)
    await expect(queue.tab("昵称")).to_have_text("昵称2")
    await queue.rows.last.get_by_role("button").click()
    await expect(queue.detail).to_contain_text("不好听的话")
    await take_screenshot(page, "ops-moderation")
    await queue.rows.first.get_by_role("button").click()
    await expect(queue.detail).to_contain_text("review 伯特")
    await console.check_layout("moderation")
    await page.keyboard.press("j")
    await expect(queue.detail).to_contain_text("review 安娜")
    await page.keyboard.press("a")
    await console.expect_done("“review 安娜”已通过")
    assert (await context.stores.users.get(anna.id)).nickname == "review 安娜"
    await expect(queue.rows).to_have_count(3)  # before that, "k" would select a decided item
    await page.keyboard.press("k")
    await page.keyboard.press("r")
    await console.dialog.input("原因").select_option("advert")
    await page.keyboard.press("Enter")
    await console.expect_done("“review 伯特”已认定违规")
    assert (await context.stores.users.get(bert.id)).nickname == "伯特"
    await expect(queue.rows).to_have_count(2)

    await queue.tab("举报").click()
    for text in ("骂人", "不好听的话", "请不要这样", "伯特 申请上麦", "举报人", "广告引流"):
        await expect(queue.detail).to_contain_text(text)
    await expect(queue.detail.locator(f"dd img[src='{LIKE}']")).to_have_count(2)
    await console.check_layout("moderation-report")
    await queue.detail.get_by_role("button", name="请出房间").click()
    await console.dialog.submit("请出房间", 原因="辱骂")
    await console.expect_done("“伯特”已认定违规")
    await expect(queue.rows).to_have_text("没有待处理的内容")
    assert (await items.get("aa01")).decision == "removed"

    await queue.tab("昵称").click()
    await expect(queue.tab("昵称")).to_have_attribute("aria-current", "page")
    await page.get_by_label("状态").select_option("refused")
    await console.button("允许再次提交").click()
    await console.expect_done("“review 伯特”可以再次提交")
    assert (await context.stores.users.get(bert.id)).nickname == "伯特"

    stream = f"{host.id}_{24 * '0'}"
    found = {"stream": stream, "medium": "picture", "score": 87, "suggestion": "Review", "text": ""}
    seen = {"state": "review", "label": "20002", "shown": True}
    item = Item("cc03", "stream", host.id, now, host.live_id, **seen)
    item.evidence.update(found, url=LIKE)
    await items.add(item)
    await queue.tab("直播画面").click()
    for text in ("仍在播出", "分数87", "检测建议复审", "色情低俗"):
        await expect(queue.detail).to_contain_text(text)
    await expect(queue.detail.locator(f"img[src='{LIKE}']")).to_be_visible()
    await console.check_colours("moderation-stream")
    await page.keyboard.press("r")
    await console.dialog.submit("停播", 备注="看过画面")
    await console.expect_done("“红娘小美”已认定违规")
    room = (await api.ops("GET", f"rooms/{host.live_id}")).ok()["room"]
    assert room["status"] == "ended"
    assert (await items.get("cc03")).decision == "sexual: 看过画面"

    await queue.tab("头像").click()
    await expect(queue.detail.locator("img.shot")).to_be_visible()
    await console.check_colours("moderation-face")
    await queue.tab("审核规则").click()
    await expect(page.locator(".definitions")).to_contain_text("昵称通过后才显示")
    await console.check_colours("moderation-policy")
