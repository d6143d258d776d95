"""The entry page and the room list of the demo room, and the bar above every page."""

import re

from playwright.async_api import Locator, expect

from tests.browser.pages.demo_part import DemoPart

ROLES = {"host": "红娘", "man": "男嘉宾", "woman": "女嘉宾", "viewer": "观众"}


class DemoEntryPage(DemoPart):
    """The first page, on which a user chooses a role and a name."""

    def enter_button(self, role: str) -> Locator:
        return self.button(f"以{ROLES[role]}身份进入")

    def name_field(self, role: str) -> Locator:
        return self.page.get_by_label(f"{ROLES[role]}的名字")

    async def enter_as(self, role: str, name: str = "", *, gender: str = "") -> None:
        if name:
            await self.name_field(role).fill(name)
        if gender:
            await self.page.get_by_label("性别").select_option(gender)
        await self.enter_button(role).click()


class DemoRoomListPage(DemoPart):
    """The live rooms, and the profile of the user."""

    @property
    def rooms(self) -> Locator:
        return self.page.locator(".rooms")

    @property
    def profile(self) -> Locator:
        return self.page.locator(".own")

    def room(self, host: str) -> Locator:
        return self.button(re.compile(f"进入{host}的直播间"))

    @property
    def start_live_button(self) -> Locator:
        return self.button("开播")

    async def enter_room(self, host: str) -> None:
        await self.room(host).click()

    async def start_live(self) -> None:
        await self.start_live_button.click()

    async def sign_out(self) -> None:
        await self.button("退出登录").click()


class DemoBar(DemoPart):
    """The bar above every page: balance and language."""

    @property
    def balance(self) -> Locator:
        return self.page.locator("button.gold")

    @property
    def income(self) -> Locator:
        return self.balance.locator("small")

    def recharge_button(self, gold: int, income: int = 0) -> Locator:
        return self.button(f"{gold} 金币、{income} 收益，充值" if income else f"{gold} 金币，充值")

    async def open_recharge(self) -> None:
        """Opens the recharge dialog from an empty balance."""
        await self.recharge_button(0).click()

    async def expect_gold(self, amount: int) -> None:
        await expect(self.balance.locator("b")).to_have_text(str(amount))

    async def switch_language(self, code: str) -> None:
        """Presses the language switch, even if a dialog covers it."""
        if self._language.code != code:
            await self.page.evaluate("document.querySelector('[data-key=language]').click()")
            self._language.code = code
