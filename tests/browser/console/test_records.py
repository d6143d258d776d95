"""Orders, the ledger, the webhook inbox and the audit log in the console."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect
from pymongo.database import Database

from runtime.process import ServerProcess
from tests.browser.pages.console import Console
from tests.support.api import ApiFixture
from tests.support.payments import create_order, notification_statuses, pay_order

pytestmark = pytest.mark.programs


@pytest.mark.gen_test(timeout=60)
async def test_orders_ledger_and_inbox_are_filtered_and_a_notification_is_replayed(
    console: Console, api: ApiFixture, server: ServerProcess
) -> None:
    anna, bert = await api.user("安娜", 2), await api.user("伯特", 1, gold=5)
    await pay_order(api, await create_order(anna))
    await notification_statuses(server)  # waits until they are delivered
    (await bert.post("qlive_pay/", block_id=2)).ok()
    await console.log_in()
    await console.go("orders")
    await expect(console.list.row("¥")).to_have_count(2)
    await console.list.choose("状态", "paid")
    await expect(console.list.row("¥")).to_have_count(1)
    await expect(console.list.row(anna.id)).to_contain_text("已支付")
    await console.screenshot("ops-orders")
    await console.list.search.fill(bert.id)
    await expect(console.page.get_by_text("没有订单")).to_be_visible()

    await console.go("ledger")
    await expect(console.list.rows).to_have_count(2)
    await console.list.choose("类型", "recharge")
    await expect(console.list.rows).to_have_count(1)
    await expect(console.list.rows).to_contain_text(anna.id)
    await console.screenshot("ops-ledger")

    await console.go("inbox")
    notification = console.list.rows
    await expect(notification).to_have_count(1)
    await expect(notification).to_contain_text("已执行")
    await notification.locator("summary").click()
    await expect(notification.locator("pre").last).to_be_visible()
    await console.screenshot("ops-inbox")
    await notification.get_by_role("button", name="重新执行").click()
    await console.dialog.expect_text("不会重复到账")
    await console.dialog.submit("重新执行")
    await console.expect_done("已执行")
    assert (await anna.get("qlive_user/get_userinfo/")).ok()["gold"] == 60


@pytest.mark.gen_test(timeout=60)
async def test_payments_are_found_by_ids_and_a_refused_search_clears_the_list(
    console: Console, api: ApiFixture, server: ServerProcess, db: Database[dict[str, Any]]
) -> None:
    anna, bert = await api.user("安娜", 2), await api.user("伯特", 1)
    for client in (anna, bert):
        await pay_order(api, await create_order(client))
    await notification_statuses(server)  # waits until they are delivered
    order = db.orders.find_one({"user_id": anna.id})
    notification = db.inbox.find_one({})
    assert order
    assert notification
    order_id, notification_id = order["_id"], notification["_id"]
    await console.log_in()
    search, rows = console.list.search, console.list.rows
    for page, texts, row_text in (
        ("orders", [order_id, order["transaction"], anna.id], order_id),
        ("ledger", [order_id, f"recharge:{order_id}", anna.id], order_id),
        ("inbox", [notification_id, notification_id[:-8]], notification_id),
    ):
        await console.go(page)
        await expect(rows).to_have_count(2)
        for text in texts:
            await search.fill(text)
            await expect(rows).to_have_count(1)
            await expect(rows).to_contain_text(row_text)
            await search.fill("")
            await expect(rows).to_have_count(2)
    await search.fill("x" * 401)
    await expect(rows).to_have_text(["有内容不符合要求。"])


@pytest.mark.gen_test(timeout=60)
async def test_long_audit_log_is_paged_in_order_and_searched(
    console: Console, db: Database[dict[str, Any]]
) -> None:
    entry = {"who": "ops@10.0.0.1", "on": "12345678", "parameters": "{}", "done": True}
    entries = [
        {**entry, "what": "POST GrantGold", "reason": f"原因-{n:03}", "at": datetime.now(UTC)}
        | {"terms": [f"原因-{n:03}"]}
        for n in range(120)
    ]
    db.audit.insert_many(entries)
    await console.open("audit")
    rows = console.list.rows
    await expect(rows.first).to_contain_text("原因-119")
    await expect(rows.first).to_contain_text("发放金币")
    await console.screenshot("ops-audit")
    await expect(console.list.previous_button).to_be_disabled()
    pages = await console.list.read_all_pages()
    assert len(pages) >= 3
    text = " ".join(row for page in pages for row in page)
    assert re.findall(r"原因-(\d{3})", text) == [f"{n:03}" for n in reversed(range(120))]
    await console.list.previous_button.click()
    await console.list.expect_page(len(pages) - 1)
    await console.list.search.fill("原因-007")
    await expect(rows).to_have_count(1)


@pytest.mark.gen_test(timeout=60)
async def test_audit_log_is_searched_by_action_names_in_both_languages(
    console: Console, api: ApiFixture
) -> None:
    anna = await api.user("安娜", 2)
    gold = {"gold": 5, "reason": "x", "request_id": "g"}
    (await api.ops("POST", f"users/{anna.id}/grant", **gold)).ok()
    (await api.ops("PATCH", f"users/{anna.id}", banned=True, ban_reason="x")).ok()
    await console.log_in()
    await console.go("audit")
    search, rows = console.list.search, console.list.rows
    await expect(rows).to_have_count(2)
    for text in ("发放金币", "grant gold"):
        await search.fill(text)
        await expect(rows).to_have_count(1)
        await expect(rows).to_contain_text("发放金币")
        await search.fill("")
        await expect(rows).to_have_count(2)
    await console.list.choose("动作", "修改用户")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("PATCH OneUser")
    await expect(rows).to_contain_text("banned: false → true")
    await expect(rows).to_contain_text("127.0.0.1")
    await console.screenshot("ops-audit-changes")
    async with console.page.expect_download() as download:
        await console.button("导出 CSV").click()
    file = await download.value
    assert file.suggested_filename == "audit.csv"
    content = Path(await file.path()).read_bytes().decode("utf-8-sig")
    assert "PATCH OneUser" in content
    assert "GrantGold" not in content
    await search.fill("nothing like that")
    await expect(rows).to_contain_text("没有符合的记录")
    await search.fill(anna.id)
    await expect(rows).to_contain_text("PATCH OneUser")
