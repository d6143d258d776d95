"""The operators' console in one window."""

import json
import re
from typing import Any

from playwright.async_api import Locator, Page, ViewportSize, expect

from tests.browser.pages.browser_log import BrowserLog
from tests.browser.pages.console_list import ConsoleList
from tests.browser.pages.console_pages import (
    ConsoleDialog,
    ConsoleLoginPage,
    ConsoleOverviewPage,
    ConsoleRoomPage,
    ConsoleUserPage,
)
from tests.browser.pages.screenshots import take_screenshot

PHONE: ViewportSize = {"width": 360, "height": 740}

OVERFLOWING_ELEMENTS = """() => {
    const found = [];
    const end = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth > innerWidth) found.push('the page');
    const parts = '.tile, .card, .tile b, td.acts > *, h1, .facts dd';
    for (const node of document.querySelectorAll(parts)) {
        const { left, right, width } = node.getBoundingClientRect();
        const outside = left < 0 || right > end;
        const cut = node.matches('.tile b') && node.scrollWidth > node.clientWidth;
        const thin = width < (node.matches('.tile') ? 120 : node.matches('dd') ? 70 : 0);
        if (outside || cut || thin) found.push(`${node.className} ${width} ${node.textContent}`);
    }
    return found;
}"""
"""Elements that are outside the page, cut off or too narrow."""


class Console:
    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.session: dict[str, Any] = {}
        """What the login returned; by default that of the demo admin."""
        self.log = BrowserLog(page.context, "status of 4")  # refused requests are expected
        self.login = ConsoleLoginPage(page)
        self.dialog = ConsoleDialog(page)
        self.list = ConsoleList(page)
        self.overview = ConsoleOverviewPage(page)
        self.room = ConsoleRoomPage(page)
        self.user = ConsoleUserPage(page)
        self.heading = page.get_by_role("heading", level=1)
        self.notice = page.locator("#said")

    async def open_login(self) -> None:
        await self.page.goto(f"{self.address}/ops/")

    async def log_in(self) -> None:
        """Opens the overview through the login page."""
        await self.open_login()
        await self.login.demo_button.click()
        await expect(self.heading).to_have_text("概览")

    async def open(self, path: str) -> None:
        """Opens a page directly, as in a tab that is logged in."""
        text = json.dumps(json.dumps(self.session))
        store = f"sessionStorage.setItem('qlive.ops.session', {text})"
        await self.page.add_init_script(f"if (location.host) {store}")
        await self.page.goto(f"{self.address}/ops/#/{path}")
        await self._expect_page(path)

    async def go(self, path: str) -> None:
        """Opens a page without reloading."""
        await self.page.evaluate("path => { location.hash = `#/${path}` }", path)
        await self._expect_page(path)

    async def _expect_page(self, path: str) -> None:
        await expect(self.page.locator(".page")).to_have_class(re.compile(path.partition("/")[0]))

    async def expect_content(self) -> None:
        await expect(self.page.locator(".page :is(td, dd)").first).to_be_visible()

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def link(self, name: str) -> Locator:
        return self.page.get_by_role("link", name=name)

    async def expect_done(self, notice: str) -> None:
        """The notice is shown and the dialog is closed."""
        await expect(self.notice).to_contain_text(notice)
        await expect(self.dialog.root).to_have_count(0)

    async def wait_for_polls(self, path: str, count: int) -> None:
        """Lets a page that polls every second do so; its clock has to be installed."""
        for _ in range(count):
            async with self.page.expect_response(lambda response: path in response.url):
                await self.page.clock.run_for(1_000)

    async def overflowing_elements(self) -> list[str]:
        found: list[str] = await self.page.evaluate(OVERFLOWING_ELEMENTS)
        return found

    async def screenshot(self, name: str, *, full_page: bool = False) -> None:
        await take_screenshot(self.page, name, full_page=full_page)
