"""The wallet of the demo room: withdrawals, and the simulated confirmation of a transfer."""

from playwright.async_api import Locator, expect

from tests.browser.pages.demo_dialogs import DemoDialog
from tests.browser.pages.demo_part import DemoPart


class DemoWalletPage(DemoPart):
    @property
    def open_button(self) -> Locator:
        """In the room list."""
        return self.button("钱包 · 提现")

    @property
    def amount_field(self) -> Locator:
        return self.page.get_by_label(self.text("提现多少收益"))

    @property
    def name_field(self) -> Locator:
        return self.page.get_by_label(self.text("真实姓名"))

    @property
    def withdraw_button(self) -> Locator:
        return self.button("提现")

    @property
    def items(self) -> Locator:
        """The withdrawals, newest first."""
        return self.page.locator(".withdrawal")

    @property
    def funds(self) -> Locator:
        """Income that can be withdrawn, and all income."""
        return self.page.locator(".funds b")

    @property
    def older_button(self) -> Locator:
        """The next page of the list."""
        return self.button("更早的提现")

    def confirm_button(self, yuan: str) -> Locator:
        return self.button(f"确认收款 ¥{yuan}")

    async def open(self) -> None:
        await self.open_button.click()
        await expect(self.page.locator(".withdrawals")).not_to_contain_text(self.text("正在看……"))

    async def withdraw(self, income: int) -> None:
        await self.amount_field.fill(str(income))
        await self.withdraw_button.click()

    async def cancel(self, yuan: str) -> None:
        await self.button(f"取消提现 ¥{yuan}").click()


class TransferDialog(DemoDialog):
    async def receive(self, case: str = "once") -> None:
        """`case` is what the user and WeChat do."""
        await self.root.locator("#transfer-case").select_option(case)
        await self.button("收下").click()
