"""Layout, axe findings and keyboard of the console."""

import re
from datetime import UTC, datetime

import pytest
from playwright.async_api import expect

from tests.browser.console.conftest import COLLECTIONS, insert_rows
from tests.browser.pages.windows import press_enter_on, tab_to
from tests.support.payments import event_sender, send_event

pytestmark = pytest.mark.programs


async def test_every_page_fits_a_phone_in_both_languages_and_passes_axe_in_light_and_dark(
    console, api, server, live_room, db
):
    anna = live_room.anna
    for event in ("wxa_punish_event", "xpay_complaint_notify"):
        await send_event(api, event_sender(server), event)
    for name in COLLECTIONS:
        insert_rows(db, name, 3)
    db.users.update_one({"_id": anna.id}, {"$set": {"gold": 888_888_888, "nickname": "安" * 20}})
    (await api.ops("PATCH", f"users/{anna.id}", banned=True, ban_reason="x")).ok()
    db.orders.update_one({}, {"$set": {"fen": 12_345_678_90, "paid_at": datetime.now(UTC)}})
    await console.open_login()
    await console.check_colours("login")
    await console.login.demo_button.click()
    await expect(console.heading).to_have_text("概览")
    links = console.page.get_by_role("navigation").get_by_role("link")
    hashes = await links.evaluate_all("links => links.map((link) => link.hash)")
    paths = [text.removeprefix("#/") for text in hashes]
    assert len(paths) > 10
    paths += [f"rooms/{live_room.host.live_id}", f"people/{anna.id}"]
    for path in paths:
        await console.go(path)
        await console.expect_content()
        await console.check_colours(path.replace("/", "-"))
        is_too_wide = "document.documentElement.scrollWidth > innerWidth"
        assert not await console.page.evaluate(is_too_wide), path
        await console.check_phone(f"{path.replace('/', '-')}-zh")
    await console.button("解封").click()
    await console.check_colours("dialog")
    await console.page.keyboard.press("Escape")
    await console.button("English").click()
    for path in paths:
        await console.go(path)
        await console.expect_content()
        await console.check_phone(f"{path.replace('/', '-')}-en")


async def test_a_user_is_found_and_banned_with_the_keyboard_alone(console, api):
    anna, _ = await api.user("安娜", 2), await api.user("伯特", 1)
    page, dialog = console.page, console.dialog
    await console.open_login()
    await press_enter_on(page, console.login.demo_button)
    await expect(console.heading).to_have_text("概览")
    await page.keyboard.press("Tab")
    await expect(console.link("跳到正文")).to_be_focused()
    await press_enter_on(page, console.link("用户"))
    await expect(console.heading).to_have_text("用户")
    await expect(page.get_by_role("row")).to_have_count(3)
    await tab_to(page, console.list.search)
    await page.keyboard.type(anna.id)
    await expect(page).to_have_url(re.compile(f"q={anna.id}$"))  # all of it is searched for
    await console.list.expect_loaded()
    await expect(page.get_by_role("row")).to_have_count(2)

    ban = console.list.row_button(anna.id, "封禁")
    await press_enter_on(page, ban)
    await expect(dialog.input("原因")).to_be_focused()
    await dialog.expect_text("立即生效")
    await page.keyboard.press("Escape")
    await expect(dialog.root).to_have_count(0)
    await expect(ban).to_be_focused()
    assert not (await api.ops("GET", f"users/{anna.id}")).ok()["banned"]
    await page.keyboard.press("Enter")
    await page.keyboard.type("辱骂")
    await press_enter_on(page, dialog.button("封禁"))
    await console.expect_done("“安娜”已封禁")
    await expect(console.list.row(anna.id)).to_contain_text("已封禁")
