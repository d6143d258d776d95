"""The dialogs of the demo room."""

import re

from playwright.async_api import Locator, Page, expect

from tests.browser.pages.demo_part import DemoPart, Language


class DemoDialog(DemoPart):
    """The dialog that is open."""

    def __init__(self, page: Page, language: Language) -> None:
        super().__init__(page, language)
        self.root: Locator = page.get_by_role("dialog")

    async def close(self) -> None:
        await self.button("关闭").click()

    async def dismiss(self) -> None:
        await self.page.keyboard.press("Escape")
        await self.expect_closed()

    async def expect_closed(self) -> None:
        await expect(self.root).to_have_count(0)

    async def expect_text(self, text: str | re.Pattern[str]) -> None:
        await expect(self.root).to_contain_text(text)

    async def _choose(self, label: str) -> None:
        await self.root.locator("label").filter(has_text=self.text(label)).first.click()


class InvitationDialog(DemoDialog):
    @property
    def accept_button(self) -> Locator:
        return self.button("接受")

    async def accept(self) -> None:
        await self.accept_button.click()

    async def decline(self) -> None:
        await self.button("婉拒").click()


class GiftDialog(DemoDialog):
    @property
    def give_button(self) -> Locator:
        return self.button("赠送")

    def gift(self, name: str) -> Locator:
        return self.root.get_by_role("radio", name=re.compile(name))

    async def choose(self, gift: str) -> None:
        await self._choose(gift)

    async def give(self) -> None:
        await self.give_button.click()

    async def open_recharge(self) -> None:
        await self.button("充值").click()


class RechargeDialog(DemoDialog):
    @property
    def steps(self) -> Locator:
        """The status of the payment."""
        return self.root.get_by_role("status", name="支付经过")

    @property
    def last_step(self) -> Locator:
        return self.root.locator(".steps li").last

    def block(self, gold: int) -> Locator:
        return self.root.get_by_role("radio", name=re.compile(f"^{gold} 金币"))

    async def pay(self, case: str, *, gold: int = 60) -> None:
        """Pays for `gold`; `case` is the simulated outcome."""
        await self._choose(f"{gold} 金币")
        await self.root.locator("#case").select_option(case)
        await self.button(re.compile("支付|Pay")).click()


class AudienceDialog(DemoDialog):
    @property
    def users(self) -> Locator:
        return self.root.locator("li")

    async def invite(self, name: str) -> None:
        await self.button(f"邀请{name}上麦").click()

    async def remove(self, name: str) -> None:
        await self.button(f"请{name}离开一分钟").click()


class RankingDialog(DemoDialog):
    @property
    def today_button(self) -> Locator:
        return self.button("今日")


class EndLiveDialog(DemoDialog):
    async def confirm(self) -> None:
        await self.button("结束直播").click()
