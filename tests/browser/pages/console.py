"""The operators' console in one window."""

import json
import re
from typing import Any

from playwright.async_api import Locator, Page, ViewportSize, expect

from tests.browser.pages.windows import (
    BrowserLog,
    axe_violations,
    expect_toast,
    take_screenshot,
)


class ConsoleLoginPage:
    """The pages of the login and of the first login."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.name_field = page.get_by_label("名字")
        self.alert = page.get_by_role("alert")
        self.demo_button = page.get_by_role("button", name="以演示管理员登录")
        self.secret = page.locator(".factor code")

    async def submit(self, name: str, password: str, code: str = "") -> None:
        await self.name_field.fill(name)
        await self.page.get_by_label("密码").fill(password)
        await self.page.get_by_label("验证码").fill(code)
        await self.page.get_by_role("button", name="登录", exact=True).click()

    async def submit_first(self, password: str, repeated: str, code: str) -> None:
        """The second page of the first login."""
        await self.page.get_by_label("新密码").fill(password)
        await self.page.get_by_label("再输一次密码").fill(repeated)
        await self.page.get_by_label("验证码").fill(code)
        await self.page.get_by_role("button", name="保存并登录").click()


class ConsoleDialog:
    """The form dialog that is open."""

    def __init__(self, page: Page) -> None:
        self.root = page.get_by_role("dialog")
        self.alert = self.root.get_by_role("alert")

    def input(self, label: str) -> Locator:
        return self.root.get_by_label(label)

    def field(self, label: str) -> Locator:
        """A label with its input and error message."""
        return self.root.locator(".field").filter(has_text=label)

    def button(self, name: str) -> Locator:
        return self.root.get_by_role("button", name=name, exact=True)

    async def submit(self, button: str, **inputs: str) -> None:
        """Fills in the inputs, by label, and presses the button."""
        for label, text in inputs.items():
            await self.input(label).fill(text)
        await self.button(button).click()

    async def expect_text(self, text: str) -> None:
        await expect(self.root).to_contain_text(text)

    async def expect_network_error(self) -> None:
        await expect(self.alert).to_have_text("服务器没有回应，请检查网络。")


class ConsoleList:
    """The list of the current page: filters, rows and paging."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.search = page.get_by_role("searchbox")
        self.rows = page.locator("tbody tr")
        self.status = page.locator(".count")
        self.next_button = page.get_by_role("button", name="下一页", exact=True)
        self.previous_button = page.get_by_role("button", name="上一页", exact=True)

    def row(self, text: str) -> Locator:
        return self.page.get_by_role("row").filter(has_text=text)

    def row_button(self, row: str, name: str) -> Locator:
        return self.row(row).get_by_role("button", name=name)

    async def open_link(self, row: str, name: str) -> None:
        await self.row(row).get_by_role("link", name=name).click()

    def filter(self, label: str) -> Locator:
        return self.page.get_by_label(label, exact=True)

    async def choose(self, filter_label: str, value: str) -> None:
        await self.filter(filter_label).select_option(value)

    async def expect_loaded(self) -> None:
        """No answer is under way that would draw the rows again."""
        await expect(self.page.locator("table[aria-busy]")).to_have_count(0)

    async def expect_page(self, number: int, rows: int) -> None:
        await self.expect_loaded()  # the page before may have had as many rows
        await expect(self.status).to_have_text(f"第 {number} 页，{rows} 条")


class ConsoleRoomPage:
    """One room with its seats, queue, users and events."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.head = page.locator(".room-head")
        self.free_seats = page.locator(".seat.free")
        self.queue = page.locator(".queue")
        self.users = page.get_by_role("region", name="房内的人").get_by_role("row")
        self.removed_users = page.get_by_role("table", name="被请出的人").get_by_role("row")
        self.events = page.get_by_role("list", name="刚刚发生").get_by_role("listitem")

    def seat(self, text: str) -> Locator:
        return self.page.locator(".seat").filter(has_text=text)

    async def expect_event(self, text: str) -> None:
        await expect(self.events.filter(has_text=text)).to_have_count(1)


class ConsoleQueue:
    """The moderation queue: tabs, items, and the item that is selected."""

    def __init__(self, page: Page) -> None:
        self.rows = page.get_by_role("list", name="审核", exact=True).get_by_role("listitem")
        self.detail = page.locator(".item")
        self._tabs = page.locator(".tabs")

    def tab(self, name: str) -> Locator:
        return self._tabs.get_by_role("link", name=name)


VIEWPORT: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 360, "height": 740}

OVERFLOWING_ELEMENTS = """() => {
    const found = [];
    const end = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth > innerWidth) found.push('the page');
    const parts = '.tile, .card, .tile b, td.actions > *, h1, .definitions dd';
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
    def __init__(self, page: Page, address: str, log: BrowserLog) -> None:
        self.page = page
        self.address = address
        self.log = log
        self.session: dict[str, Any] = {}
        """Response to the login; by default to that of the demo admin."""
        self.login = ConsoleLoginPage(page)
        self.dialog = ConsoleDialog(page)
        self.list = ConsoleList(page)
        self.room = ConsoleRoomPage(page)
        self.queue = ConsoleQueue(page)
        self.heading = page.get_by_role("heading", level=1)
        self.operator = page.locator(".operator")
        self.user_head = page.locator(".person-head")
        self.user_sessions = page.get_by_role("table", name="登录").locator("tbody tr")

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
        await expect(self.page.locator(".page :is(td, dd, li.empty)").first).to_be_visible()

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def link(self, name: str) -> Locator:
        return self.page.get_by_role("link", name=name)

    def table(self, name: str) -> Locator:
        """The rows of a table."""
        return self.page.get_by_role("table", name=name).locator("tbody tr")

    def tile(self, title: str) -> Locator:
        return self.page.locator(".tile").filter(has_text=title)

    async def expect_done(self, toast: str) -> None:
        """The toast is shown, the dialog is closed, and the page has read what has changed."""
        await expect_toast(self.page, toast)
        await expect(self.dialog.root).to_have_count(0)
        await expect(self.page.locator("button[aria-busy]")).to_have_count(0)

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

    async def check_layout(self, name: str) -> None:
        await self.check_colours(name)
        await self.check_phone(name)

    async def check_phone(self, name: str) -> None:
        """The page fits a phone."""
        await self.page.set_viewport_size(PHONE)
        await take_screenshot(self.page, f"ops-360-{name}")
        assert await self.page.evaluate(OVERFLOWING_ELEMENTS) == [], name
        await self.page.set_viewport_size(VIEWPORT)
