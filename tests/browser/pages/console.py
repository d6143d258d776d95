"""The operators' console in one window."""

import json
import re
from typing import Any

from playwright.async_api import Locator, Page, ViewportSize, expect

from tests.browser.pages.accessibility import axe_violations
from tests.browser.pages.console_pages import (
    ConsoleDialog,
    ConsoleList,
    ConsoleLoginPage,
    ConsoleRoomPage,
)
from tests.browser.pages.windows import BrowserLog, take_screenshot

VIEWPORT: ViewportSize = {"width": 1280, "height": 800}
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
        self.room = ConsoleRoomPage(page)
        self.heading = page.get_by_role("heading", level=1)
        self.operator = page.locator(".operator")
        self.user_head = page.locator(".person-head")
        self.user_sessions = page.get_by_role("table", name="登录").locator("tbody tr")
        self.notice = page.locator("#said")

    async def open_login(self) -> None:
        await self.page.goto(f"{self.address}/ops/")

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

    def table(self, name: str) -> Locator:
        """The rows of a table."""
        return self.page.get_by_role("table", name=name).locator("tbody tr")

    def tile(self, title: str) -> Locator:
        return self.page.locator(".tile").filter(has_text=title)

    async def expect_done(self, notice: str) -> None:
        """The notice is shown and the dialog is closed."""
        await expect(self.notice).to_contain_text(notice)
        await expect(self.dialog.root).to_have_count(0)

    async def wait_for_polls(self, path: str, count: int) -> None:
        """Lets a page that polls every second do so; its clock has to be installed."""
        for _ in range(count):
            async with self.page.expect_response(lambda response: path in response.url):
                await self.page.clock.run_for(1_000)

    async def check_colours(self, name: str) -> None:
        """Axe finds nothing in light colours, and nothing about the colours in dark ones."""
        await self.page.emulate_media(color_scheme="light")
        assert await axe_violations(self.page) == [], f"{name} in light"
        await self.page.emulate_media(color_scheme="dark")
        assert await axe_violations(self.page, structure=False) == [], f"{name} in dark"
        await take_screenshot(self.page, f"ops-dark-{name}")

    async def check_phone(self, name: str) -> None:
        """The page fits a phone."""
        await self.page.set_viewport_size(PHONE)
        await take_screenshot(self.page, f"ops-360-{name}")
        assert await self.page.evaluate(OVERFLOWING_ELEMENTS) == [], name
        await self.page.set_viewport_size(VIEWPORT)
