"""The page of a room in the demo room."""

import re

from playwright.async_api import Locator, expect

from tests.browser.pages.demo_part import DemoPart

RECORD_FLYING_GIFTS = """
window.flownGifts = 0;
new MutationObserver(changes => changes.forEach(change => change.addedNodes.forEach(node => {
    flownGifts += node.className === 'flying' ? 1 : 0;
}))).observe(document.querySelector('.room'), { childList: true })
"""


class DemoRoomPage(DemoPart):
    @property
    def connection(self) -> Locator:
        """The status line of the WebSocket connection."""
        return self.page.locator(".line")

    @property
    def feed(self) -> Locator:
        """The list of events."""
        return self.page.get_by_role("log")

    @property
    def queue(self) -> Locator:
        return self.page.locator(".queue")

    @property
    def end_screen(self) -> Locator:
        """What covers the room after it was closed for this user."""
        return self.page.locator(".over")

    @property
    def flying_gifts(self) -> Locator:
        return self.page.locator(".flying")

    @property
    def apply_button(self) -> Locator:
        return self.button("申请上麦")

    @property
    def answer_invitation_button(self) -> Locator:
        return self.button("回应邀请")

    def seat(self, name: str) -> Locator:
        """The seat `male` or `female`."""
        return self.page.locator(f".seat.{name}")

    async def expect_connected(self) -> None:
        await expect(self.connection).to_have_text(self.text("已连接"))

    async def expect_user_count(self, count: int) -> None:
        await expect(self.page.locator(".count")).to_have_text(f"{count} 人在房间")

    # ---- the guest's actions

    async def apply_for_mic(self) -> None:
        await self.apply_button.click()

    async def leave_mic(self) -> None:
        await self.button("下麦").click()

    async def open_invitation(self) -> None:
        await self.answer_invitation_button.click()

    async def open_gifts(self) -> None:
        await self.button("送礼").click()

    async def open_ranking(self) -> None:
        await self.button("排行").click()

    async def continue_here(self) -> None:
        """Reopens a room that another window of the user has taken over."""
        await self.end_screen.get_by_role("button", name="在这里继续").click()

    async def return_to_list(self) -> None:
        await self.end_screen.get_by_role("button", name="看看别的直播").click()

    # ---- the host's actions

    async def invite(self, name: str) -> None:
        await self.button(f"邀请{name}上麦").click()

    async def decline_application(self, name: str) -> None:
        await self.button(f"婉拒{name}的申请").click()

    async def take_off_mic(self, name: str) -> None:
        await self.button(f"请{name}下麦").click()

    async def open_audience(self) -> None:
        await self.button(re.compile("^(观众|Audience)$")).click()

    async def open_end_dialog(self) -> None:
        await self.button("结束直播").click()

    # ---- animations

    async def record_flying_gifts(self, *, motion: bool = True) -> None:
        """Counts gift animations from now on; `motion` allows them in this window."""
        if motion:
            await self.page.emulate_media(reduced_motion="no-preference")
        await self.page.evaluate(RECORD_FLYING_GIFTS)

    async def flown_gifts(self) -> int:
        count: int = await self.page.evaluate("window.flownGifts")
        return count
