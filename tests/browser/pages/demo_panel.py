"""The developer panel beside every page of the demo room."""

from playwright.async_api import Locator, Page

from tests.browser.pages.demo_part import DemoPart, Language


class DeveloperPanel(DemoPart):
    def __init__(self, page: Page, language: Language) -> None:
        super().__init__(page, language)
        self.root: Locator = page.locator("#panel")

    @property
    def frames(self) -> Locator:
        """The received WebSocket frames except audience counts and heartbeats, newest first."""
        return self.root.locator("li.frame:not(.passing)")

    @property
    def calls(self) -> Locator:
        return self.root.locator("li.call")

    def frame(self, event_type: str) -> Locator:
        return self.root.locator("li.frame").filter(
            has=self.page.get_by_text(event_type, exact=True)
        )

    def call(self, path: str) -> Locator:
        return self.calls.filter(has_text=path)

    def user_link(self, label: str) -> Locator:
        """The link that opens a window for the next user of a role."""
        return self.root.get_by_role("link", name=self.text(label)).first

    async def live_id(self) -> int:
        """The room's id in the links to it."""
        link = self.root.locator("a[href*='live=']").first
        return int(str(await link.get_attribute("href")).partition("live=")[2])

    async def open(self) -> None:
        """Opens the panel in a narrow window."""
        await self.page.get_by_role("button", name="开发者面板", exact=True).click()

    async def close(self) -> None:
        await self.root.get_by_role("button", name="关闭").click()

    async def disconnect(self) -> None:
        await self.root.get_by_role("button", name="断网").click()

    async def reconnect(self) -> None:
        await self.root.get_by_role("button", name="恢复网络").click()
