"""Windows of the demo room: each is one user."""

import re
from collections.abc import Awaitable, Callable

from playwright.async_api import BrowserContext, Page, Route, ViewportSize, expect

from tests.browser.pages.accessibility import axe_violations, wait_for_animations
from tests.browser.pages.demo_pages import (
    DemoBar,
    DemoDialog,
    DemoEntryPage,
    DemoRoomListPage,
    DemoRoomPage,
    DemoWalletPage,
    DeveloperPanel,
    Language,
)
from tests.browser.pages.windows import BrowserLog, take_screenshot

WIDE: ViewportSize = {"width": 1280, "height": 900}
NARROW: ViewportSize = {"width": 360, "height": 740}
PHONE: ViewportSize = {"width": 480, "height": 800}
"""Only WIDE shows the panel beside the room; drawing it takes a third more CPU time."""

OVERFLOWING_ELEMENTS = """() => {
    const containers = "html, #phone, #phone > *, dialog, .acts, .role input, .stand-in";
    const wide = [...document.querySelectorAll(containers)]
        .filter((node) => node.scrollWidth > node.clientWidth + 1);
    const covered = [...document.querySelectorAll(".take-off")].filter((button) => {
        const text = button.parentNode.querySelector(".stand-in");
        return text.offsetLeft + text.offsetWidth > button.offsetLeft;
    });
    return [...wide, ...covered].map((node) => node.outerHTML.slice(0, 200));
}"""
"""Elements wider than their container, and buttons that cover text."""


async def lose_response(route: Route) -> None:
    """The server handles the request; the page gets a network error."""
    await route.fetch()
    await route.abort("internetdisconnected")


class DemoWindow:
    """One browser window with one user."""

    def __init__(self, page: Page) -> None:
        self.page = page
        language = Language()
        self.bar = DemoBar(page, language)
        self.entry = DemoEntryPage(page, language)
        self.room_list = DemoRoomListPage(page, language)
        self.room = DemoRoomPage(page, language)
        self.panel = DeveloperPanel(page, language)
        self.dialog = DemoDialog(page, language)
        self.wallet = DemoWalletPage(page, language)
        self.notice = page.locator("#said")

    async def resize(self, size: ViewportSize) -> None:
        await self.page.set_viewport_size(size)

    async def expect_user(self, name: str) -> None:
        """The title names the user of the window."""
        await expect(self.page).to_have_title(re.compile(f"^{name} "))

    async def session(self, key: str) -> str:
        """The stored `token` or `user_id`."""
        script = "key => JSON.parse(sessionStorage.getItem('qlive.session'))[key]"
        value: str = await self.page.evaluate(script, key)
        return value

    async def check_layout(
        self, name: str, prepare: Callable[[], Awaitable[object]] | None = None
    ) -> None:
        """Nothing overflows on a phone in either language, and axe finds nothing.

        `prepare` opens a dialog, which keeps its language.
        """
        await self.resize(NARROW)
        for language in ("en", "zh"):
            if await self.dialog.root.count():
                await self.dialog.dismiss()
            await self.bar.switch_language(language)
            if prepare:
                await prepare()
            await wait_for_animations(self.page)
            await take_screenshot(self.page, f"demo-{name}-{language}")
            overflowing = await self.page.evaluate(OVERFLOWING_ELEMENTS)
            assert overflowing == [], f"{name} in {language}"
        assert await axe_violations(self.page) == [], name


class DemoBrowser:
    """All windows of one browser context."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.context = context
        self.address = address
        # Refused requests are expected, and one test cuts the network.
        self.log = BrowserLog(context, "status of 4", "ERR_INTERNET")

    async def open(self, path: str = "/", *, size: ViewportSize = PHONE) -> DemoWindow:
        window = DemoWindow(await self.context.new_page())
        if size != PHONE:
            await window.resize(size)
        await window.page.goto(self.address + path)
        return window

    async def start_live(self, *roles: str) -> list[DemoWindow]:
        """A host in a live room and one window for each role: "man" is 建国, "woman" is 秀英."""
        host = await self.open("/?as=host")
        await host.room_list.press("开播")
        await host.room.expect_connected()
        live_id = await host.panel.live_id()
        return [host, *[await self.join(live_id, role) for role in roles]]

    async def join(self, live_id: int, role: str) -> DemoWindow:
        window = await self.open(f"/?as={role}&live={live_id}")
        await window.room.expect_connected()
        return window

    async def open_next_user(self, window: DemoWindow, role: str) -> DemoWindow:
        """Opens the next user's window with the link in the panel of `window`."""
        async with self.context.expect_page() as opened:
            await window.panel.user_link(role).click()
        opened_window = DemoWindow(await opened.value)
        await opened_window.room.expect_connected()
        return opened_window


async def seat_guest(host: DemoWindow, guest: DemoWindow, name: str, seat: str) -> None:
    """Applies, invites and accepts."""
    await guest.room.press("申请上麦")
    await host.room.invite(name)
    await guest.dialog.press("接受")
    await expect(host.room.seat(seat)).to_contain_text(name)
    await guest.dialog.expect_closed()
