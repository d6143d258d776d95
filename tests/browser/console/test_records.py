"""Orders, the ledger, the inbox of callbacks and the audit log in the console."""

from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.support.payments import create_order, notification_statuses, pay_order

pytestmark = pytest.mark.programs


async def test_orders_ledger_and_inbox_are_filtered_and_a_notification_is_replayed(
    console, api, server
):
    anna, bert = await api.user("安娜", 2), await api.user("伯特", 1, gold=5)
    await pay_order(api, await create_order(anna))
    await notification_statuses(server)  # waits until they are delivered
    (await bert.post("qlive_pay/", block_id=2)).ok()
    search, rows, dialog = console.list.search, console.list.rows, console.dialog
    await console.open("orders")
    await expect(rows).to_have_count(2)
    await console.list.choose("状态", "paid")
    await expect(rows).to_have_count(1)
    await expect(console.list.row(anna.id)).to_contain_text("已支付")
    await search.fill(bert.id)
    await expect(console.page.get_by_text("没有订单")).to_be_visible()
    await search.fill("x" * 401)
    await expect(rows).to_have_text(["有内容不符合要求。"])

    await console.go("ledger")
    await expect(rows).to_have_count(2)
    await console.list.choose("类型", "recharge")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text(anna.id)
    await console.list.choose("类型", "")
    await search.fill(bert.id)
    await expect(rows).to_have_count(1)

    await console.go("inbox")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("已执行")
    await rows.locator("summary").click()
    await expect(rows.locator("pre").last).to_be_visible()
    await rows.get_by_role("button", name="重新执行").click()
    await dialog.expect_text("不会重复到账")
    await dialog.submit("重新执行")
    await console.expect_done("已执行")
    assert (await anna.get("qlive_user/get_userinfo/")).ok()["gold"] == 60
    await search.fill("nothing like that")
    await expect(rows).not_to_contain_text("已执行")


async def test_reports_of_lives_are_searched_and_saved(console, live_room, api):
    other = await api.host("红娘小丽")
    (await other.post("qlive_room/live_end/", live_id=other.live_id)).ok()
    rows = console.list.rows
    await console.open("lives")
    await expect(rows).to_have_count(2)
    await expect(console.list.row(live_room.host.id)).to_contain_text("直播中")
    await console.page.get_by_label("房间号").fill(str(other.live_id))
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("红娘结束")
    async with console.page.expect_download() as download:
        await console.button("导出 CSV").click()
    content = Path(await (await download.value).path()).read_bytes().decode("utf-8-sig")
    assert other.id in content
    assert live_room.host.id not in content


async def test_audit_log_is_searched_by_action_names_in_both_languages(console, api):
    anna = await api.user("安娜", 2)
    gold = {"gold": 5, "reason": "x", "request_id": "g"}
    (await api.ops("POST", f"users/{anna.id}/grant", **gold)).ok()
    (await api.ops("PATCH", f"users/{anna.id}", banned=True, ban_reason="x")).ok()
    search, rows = console.list.search, console.list.rows
    await console.open("audit")
    await expect(rows).to_have_count(2)
    for text in ("发放金币", "grant gold"):
        await search.fill(text)
        await expect(rows).to_have_count(1)
        await expect(rows).to_contain_text("发放金币")
        await search.fill("")
        await expect(rows).to_have_count(2)
    await console.list.choose("动作", "修改用户")
    await expect(rows).to_have_count(1)
    for text in ("PATCH OneUser", "banned: false → true", "127.0.0.1"):
        await expect(rows).to_contain_text(text)
    async with console.page.expect_download() as download:
        await console.button("导出 CSV").click()
    file = await download.value
    assert file.suggested_filename == "audit.csv"
    content = Path(await file.path()).read_bytes().decode("utf-8-sig")
    assert "PATCH OneUser" in content
    assert "GrantGold" not in content
    await search.fill("nothing like that")
    await expect(rows).to_contain_text("没有符合的记录")
