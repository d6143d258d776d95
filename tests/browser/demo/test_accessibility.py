"""Layout, axe findings, keyboard, languages and motion of the demo room."""

import re
from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import Page, expect

from tests.browser.pages.accessibility import (
    axe_violations,
    press_enter_on,
    tab_to,
    wait_for_animations,
)
from tests.browser.pages.demo_window import NARROW, WIDE, DemoBrowser, DemoWindow, seat_guest
from tests.support.api import ApiFixture

pytestmark = pytest.mark.programs

HOST, MAN, WOMAN = "hongniang1", "建国", "秀英"


@pytest.mark.gen_test(timeout=90)
async def test_pages_outside_a_room_fit_a_phone_and_pass_axe_in_both_languages(
    demo: DemoBrowser, api: ApiFixture
) -> None:
    await api.host()
    window = await demo.open()
    await _check_layout(window, "entry")
    await window.entry.enter_as("viewer")
    await expect(window.page.locator(".room-card")).to_be_visible()
    await _check_layout(window, "list")

    async def pay(case: str, last_step: str) -> None:
        await window.bar.balance.click()
        await window.recharge.pay(case)
        await expect(window.recharge.last_step).to_have_class(last_step)

    await _check_layout(window, "recharge", lambda: pay("once", "good"))
    await window.recharge.close()
    await _check_layout(window, "recharge-cancelled", lambda: pay("cancel", "bad"))
    await window.recharge.close()
    await window.resize(NARROW)
    await window.panel.open()
    await expect(window.panel.root).to_be_visible()
    await _check_layout(window, "panel")
    await window.resize(NARROW)
    await window.panel.close()
    await expect(window.panel.root).to_be_hidden()


@pytest.mark.gen_test(timeout=120)
async def test_a_room_fits_a_phone_and_passes_axe_in_both_languages(
    demo: DemoBrowser, api: ApiFixture
) -> None:
    host, man, woman = await demo.start_live("man", "woman")
    (room,) = (await api.ops("GET", "rooms")).ok()["items"]
    giver = await api.guest("有钱人", 1, room["id"], gold=52)
    (await giver.post("qlive_user/update_userinfo/", show_in_ranking=True)).ok()
    kiss = {"user_id": await host.session("user_id"), "gift_id": 4}
    (await giver.get("qlive_gift/push_gift/", **kiss)).ok()
    await seat_guest(host, man, MAN, "male")
    await woman.room.apply_for_mic()
    await expect(host.room.queue.locator("li")).to_have_count(1)
    await expect(host.bar.income).to_have_text("+26")
    await _check_layout(host, "host")
    await _check_layout(man, "guest")

    async def choose_a_gift() -> None:
        await woman.room.open_gifts()
        await woman.gifts.choose("火箭")

    await _check_layout(woman, "gifts", choose_a_gift)
    await woman.gifts.close()
    await host.room.invite(WOMAN)
    await woman.invitation.expect_text("邀请你上麦")
    await woman.page.keyboard.press("Escape")
    await expect(woman.room.answer_invitation_button).to_be_visible()
    await _check_layout(woman, "invited")
    await _check_layout(woman, "invitation", woman.room.open_invitation)

    async def open_audience() -> None:
        await host.room.open_audience()
        await expect(host.audience.users).to_have_count(2)

    await _check_layout(host, "audience", open_audience)
    await host.audience.close()
    await man.resize(WIDE)
    await man.panel.disconnect()
    await _check_layout(man, "disconnected")
    await _check_layout(host, "end-dialog", host.room.open_end_dialog)
    await host.end_live.confirm()
    end_screen = expect(woman.room.end_screen)
    await _check_layout(woman, "ended", lambda: end_screen.to_contain_text("有钱人"))


async def _check_layout(
    window: DemoWindow, name: str, prepare: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Checks overflow on a phone in English and Chinese, and axe once in each language and width.

    `prepare` opens a dialog, which keeps its language, or waits for content.
    """
    for language, axe_size in (("en", WIDE), ("zh", NARROW)):
        if await window.dialog.root.count():
            await window.dialog.dismiss()
        await window.bar.switch_language(language)
        if prepare:
            await prepare()
        await window.resize(NARROW)
        await wait_for_animations(window.page)
        await window.screenshot(f"demo-360-{name}-{language}")
        assert await window.overflowing_elements() == [], f"{name} in {language}"
        if axe_size != NARROW:
            await window.resize(axe_size)
            await wait_for_animations(window.page)
        assert await axe_violations(window.page) == [], f"{name} in {language}"


@pytest.mark.gen_test(timeout=90)
async def test_main_path_works_with_the_keyboard_alone(demo: DemoBrowser) -> None:
    host = await demo.open()
    await press_enter_on(host.page, host.entry.enter_button("host"))
    await press_enter_on(host.page, host.room_list.start_live_button)
    await host.room.expect_connected()
    man = await demo.open()
    await man.page.bring_to_front()
    await press_enter_on(man.page, man.entry.enter_button("man"))
    await press_enter_on(man.page, man.room_list.room(HOST))
    await press_enter_on(man.page, man.room.apply_button)
    await host.page.bring_to_front()
    await press_enter_on(host.page, host.room.button(f"邀请{MAN}上麦"))
    await man.page.bring_to_front()
    await press_enter_on(man.page, man.invitation.accept_button)
    await expect(man.room.seat("male")).to_contain_text("你在麦上")

    await press_enter_on(man.page, man.bar.recharge_button(0))
    await tab_to(man.page, man.recharge.block(60))
    await man.page.keyboard.press("ArrowRight")
    await press_enter_on(man.page, man.recharge.button("支付 ¥30.00"))
    await man.recharge.expect_text("到账 +300 金币")
    await man.recharge.dismiss()
    await press_enter_on(man.page, man.room.button("送礼"))
    await tab_to(man.page, man.gifts.gift("玫瑰"))
    await man.page.keyboard.press("ArrowRight")
    await press_enter_on(man.page, man.gifts.give_button)
    await expect(man.room.feed).to_contain_text(f"{MAN} 送给 {HOST} 棒棒糖 ×1")
    await press_enter_on(man.page, man.room.button("下麦"))
    await expect(man.room.seat("male")).to_contain_text("虚位以待")
    await _expect_focus_kept(man.page)


async def _expect_focus_kept(page: Page) -> None:
    """A redrawn room keeps the focus among its action buttons."""
    await expect(page.locator(".acts button:focus")).to_have_count(1)


@pytest.mark.gen_test(timeout=60)
async def test_language_switch_translates_the_page_and_survives_a_reload(
    demo: DemoBrowser,
) -> None:
    host, man = await demo.start_live("man")
    await man.room.apply_for_mic()
    await expect(man.room.feed).to_contain_text(f"{MAN} 申请上麦")
    await man.page.get_by_role("button", name="English", exact=True).click()
    await expect(man.page.locator("html")).to_have_attribute("lang", "en")
    await expect(man.room.feed).to_contain_text(f"{MAN} applies for the mic")
    await expect(man.room.connection).to_have_text("Connected")
    await expect(man.page.get_by_role("button", name="中文", exact=True)).to_be_focused()
    await man.page.get_by_role("button", name="Gifts", exact=True).click()
    await man.gifts.expect_text("Lollipop")
    await man.screenshot("demo-english", settled=True)
    text = await man.page.evaluate("document.querySelector('dialog').textContent")
    assert not re.search(r"[\u4e00-\u9fff]", text.replace(MAN, "")), text
    await man.page.reload()
    await expect(man.room.connection).to_have_text("Connected")
    await expect(host.room.connection).to_have_text("已连接")  # the other window keeps Chinese


@pytest.mark.gen_test(timeout=60)
async def test_gifts_do_not_fly_with_reduced_motion(demo: DemoBrowser, api: ApiFixture) -> None:
    host, man = await demo.start_live("man")
    (room,) = (await api.ops("GET", "rooms")).ok()["items"]
    giver = await api.guest("有钱人", 1, room["id"], gold=100)
    gift_id = (await giver.get("qlive_gift/")).ok()["results"][0]["id"]
    await host.room.record_flying_gifts()
    await man.room.record_flying_gifts(motion=False)
    gift = {"user_id": await host.session("user_id"), "gift_id": gift_id, "num": 9}
    (await giver.get("qlive_gift/push_gift/", **gift)).ok()
    for window in (host, man):
        await expect(window.room.feed).to_contain_text(f"有钱人 送给 {HOST}")
    assert await host.room.flown_gifts() == 9
    assert await man.room.flown_gifts() == 0
