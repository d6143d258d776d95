"""Layout, axe findings and keyboard of the console."""

from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.async_api import expect
from pymongo.database import Database

from runtime.process import ServerProcess
from tests.browser.console.conftest import VIEWPORT, LiveRoom
from tests.browser.pages.accessibility import axe_violations, press_enter_on, tab_to
from tests.browser.pages.console import PHONE, Console
from tests.support.api import ApiFixture
from tests.support.console_rows import COLLECTIONS, insert_rows
from tests.support.platform_events import event_sender, send_event

pytestmark = pytest.mark.programs

PAGES = [
    "overview",
    "fleet",
    "rooms",
    "people",
    "gifts",
    "blocks",
    "configs",
    "orders",
    "ledger",
    "withdrawals",
    "refunds",
    "approvals",
    "inbox",
    "audit",
]
DARK = {
    "login": "form",
    "overview": "tiles, charts, states",
    "fleet": "a table for each machine",
    "people": "faces, filters, buttons in rows",
    "gifts": "pictures",
    "ledger": "amounts that grow and shrink",
    "inbox": "details that open",
    "rooms-one": "seats, queue, log",
    "people-one": "facts, cards",
    "dialog": "dialog",
}
"""Pages with the components that have colours of their own; other lists share those of `people`."""


@pytest.mark.gen_test(timeout=120)
async def test_every_page_fits_a_phone_in_both_languages_and_passes_axe_in_light_and_dark(
    console: Console,
    api: ApiFixture,
    server: ServerProcess,
    live_room: LiveRoom,
    db: Database[dict[str, Any]],
) -> None:
    anna = live_room.anna
    for event in ("wxa_punish_event", "user_authorization_cancellation"):
        await send_event(api, event_sender(server), event)
    for name in COLLECTIONS:
        insert_rows(db, name, 3)
    db.users.update_one({"_id": anna.id}, {"$set": {"gold": 888_888_888, "nickname": "安" * 20}})
    (await api.ops("PATCH", f"users/{anna.id}", banned=True, ban_reason="x")).ok()
    db.orders.update_one({}, {"$set": {"fen": 12_345_678_90, "paid_at": datetime.now(UTC)}})
    await console.open_login()
    await _check_with_axe(console, "login")
    await console.log_in()
    paths = [*PAGES, f"rooms/{live_room.live_id}", f"people/{anna.id}"]
    for path in paths:
        await console.go(path)
        await console.expect_content()
        await _check_with_axe(console, _file_name(path))
        is_too_wide = "document.documentElement.scrollWidth > innerWidth"
        assert not await console.page.evaluate(is_too_wide), path
        await console.page.set_viewport_size(PHONE)
        await _check_layout(console, path, "zh")
        await console.page.set_viewport_size(VIEWPORT)
    await console.button("解封").click()
    await _check_with_axe(console, "dialog")
    await console.page.keyboard.press("Escape")
    await console.page.set_viewport_size(PHONE)
    await console.button("English").click()
    for path in paths:
        await console.go(path)
        await console.expect_content()
        await _check_layout(console, path, "en")


async def _check_with_axe(console: Console, name: str) -> None:
    """Checks everything in light colours, and the colours of components again in dark ones."""
    await console.page.emulate_media(color_scheme="light")
    assert await axe_violations(console.page) == [], f"{name} in light"
    if name in DARK:
        await console.page.emulate_media(color_scheme="dark")
        assert await axe_violations(console.page, structure=False) == [], f"{name} in dark"
        await console.screenshot(f"ops-dark-{name}", full_page=True)


async def _check_layout(console: Console, path: str, language: str) -> None:
    await console.screenshot(f"ops-360-{language}-{_file_name(path)}", full_page=True)
    assert await console.overflowing_elements() == [], (path, language)


def _file_name(path: str) -> str:
    page, _, one = path.partition("/")
    return f"{page}-one" if one else page


@pytest.mark.gen_test(timeout=60)
async def test_login_search_and_ban_work_with_the_keyboard_alone(
    console: Console, api: ApiFixture
) -> None:
    anna, _ = await api.user("安娜", 2), await api.user("伯特", 1)
    page = console.page
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
    await expect(page.get_by_role("row")).to_have_count(2)

    ban = console.list.row_button(anna.id, "封禁")
    await press_enter_on(page, ban)
    await expect(console.dialog.input("原因")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(console.dialog.root).to_have_count(0)
    await expect(ban).to_be_focused()
    assert not (await api.ops("GET", f"users/{anna.id}")).ok()["banned"]
    await page.keyboard.press("Enter")
    await page.keyboard.type("辱骂")
    await press_enter_on(page, console.dialog.button("封禁"))
    await console.expect_done("已封禁")
    assert (await api.ops("GET", f"users/{anna.id}")).ok()["ban_reason"] == "辱骂"
