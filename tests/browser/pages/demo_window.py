"""Windows of the demo room: each is one user."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from playwright.async_api import Locator, Page, Route, ViewportSize, expect

from tests.browser.pages.windows import (
    BrowserLog,
    axe_violations,
    expect_toast,
    take_screenshot,
    wait_for_animations,
)

TEXTS = ("web/demo/translations.js", "clients/miniprogram/src/texts.js")
TRANSLATIONS = [
    pair
    for file in TEXTS
    for pair in re.findall(r'\["([^"]*)", "([^"]*)"\]', Path(file).read_text())
]
ROLES = {"host": "红娘", "man": "男嘉宾", "woman": "女嘉宾", "viewer": "观众"}
RECORD_FLYING_GIFTS = """
window.flownGifts = 0;
new MutationObserver(changes => changes.forEach(change => change.addedNodes.forEach(node => {
    flownGifts += node.className === 'flying' ? 1 : 0;
}))).observe(document.querySelector('.room'), { childList: true })
"""


class Language:
    """The language of a window: zh or en."""

    code = "zh"

    def text(self, chinese: str) -> str:
        """The page's text; names of users stay as they are."""
        if self.code == "zh":
            return chinese
        for pattern, english in sorted(TRANSLATIONS, key=lambda pair: "{" in pair[0]):
            expression = re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+)", re.escape(pattern))
            if found := re.fullmatch(expression, chinese):
                return english.format(**found.groupdict())
        return chinese


class DemoPart:
    """A part of a window; its methods take the Chinese texts of the page."""

    def __init__(self, page: Page, language: Language) -> None:
        self.page = page
        self.root = page.locator("body")
        self._language = language

    def text(self, chinese: str) -> str:
        return self._language.text(chinese)

    def button(self, name: str | re.Pattern[str]) -> Locator:
        if isinstance(name, str):
            return self.root.get_by_role("button", name=self.text(name), exact=True)
        return self.root.get_by_role("button", name=name)

    async def press(self, name: str | re.Pattern[str]) -> None:
        await self.button(name).click()


class DemoRoomPage(DemoPart):
    def __init__(self, page: Page, language: Language) -> None:
        super().__init__(page, language)
        self.connection = page.locator(".connection")
        """The status line of the WebSocket connection."""
        self.feed = page.get_by_role("log")
        """The list of events."""
        self.queue = page.locator(".queue")
        self.chat_field = page.locator(".chat-input input")
        self.private_notice = page.locator(".private-notice")
        self.end_screen = page.locator(".end-screen")
        """The page that covers the room after it was closed for this user."""

    def seat(self, name: str) -> Locator:
        """The seat `male` or `female`."""
        return self.page.locator(f".seat.{name}")

    async def expect_connected(self) -> None:
        await expect(self.connection).to_have_text(self.text("已连接"))

    async def expect_user_count(self, count: int) -> None:
        await expect(self.page.locator(".count")).to_have_text(f"{count} 人在房间")

    async def invite(self, name: str) -> None:
        await self.press(f"邀请{name}上麦")

    async def say(self, text: str) -> None:
        await self.chat_field.fill(text)
        await self.chat_field.press("Enter")

    async def record_flying_gifts(self, *, motion: bool = True) -> None:
        """Counts gift animations from now on; `motion` allows them in this window."""
        if motion:
            await self.page.emulate_media(reduced_motion="no-preference")
        await self.page.evaluate(RECORD_FLYING_GIFTS)

    async def flown_gifts(self) -> int:
        return await self.page.evaluate("window.flownGifts")


class DemoDialog(DemoPart):
    """The dialog that is open."""

    def __init__(self, page: Page, language: Language) -> None:
        super().__init__(page, language)
        self.root = page.get_by_role("dialog")

    def option(self, name: str) -> Locator:
        return self.root.get_by_role("radio", name=re.compile(name))

    async def choose(self, label: str) -> None:
        """Chooses a gift or an amount of gold."""
        await self.root.locator("label").filter(has_text=self.text(label)).first.click()

    async def pay(self, case: str, *, gold: int = 60) -> None:
        """Pays for `gold` in the recharge dialog; `case` is the simulated outcome."""
        await self.choose(f"{gold} 金币")
        await self.root.locator("#case").select_option(case)
        await self.press(re.compile("支付|Pay"))

    async def confirm_transfer(self, case: str) -> None:
        """Confirms a withdrawal's transfer; `case` is what the user and WeChat do."""
        await self.root.locator("#transfer-case").select_option(case)
        await self.press("收下")

    async def dismiss(self) -> None:
        await self.page.keyboard.press("Escape")
        await self.expect_closed()

    async def expect_closed(self) -> None:
        await expect(self.root).to_have_count(0)

    async def expect_text(self, text: str | re.Pattern[str]) -> None:
        await expect(self.root).to_contain_text(text)


class DemoWalletPage(DemoPart):
    """The withdrawals of a user."""

    def __init__(self, page: Page, language: Language) -> None:
        super().__init__(page, language)
        self.name_field = page.locator("#real-name")
        self.amount_field = page.locator("#amount")
        self.items = page.locator(".withdrawal")
        """The withdrawals, newest first."""
        self.funds = page.locator(".funds b")
        """Income that can be withdrawn, and all income."""

    def confirm_button(self, yuan: str) -> Locator:
        return self.button(f"确认收款 ¥{yuan}")

    async def open(self) -> None:
        await self.press("钱包 · 提现")
        await expect(self.page.locator(".withdrawals")).not_to_contain_text(self.text("正在看……"))

    async def withdraw(self, income: int) -> None:
        await self.amount_field.fill(str(income))
        await self.press("提现")


class DeveloperPanel(DemoPart):
    """The panel beside every page of the demo room."""

    def __init__(self, page: Page, language: Language) -> None:
        super().__init__(page, language)
        self.root = page.locator("#panel")
        shown = "li.frame:not(.passing)"
        self.frames = self.root.locator(f"{shown}:not(.own)")
        """The received WebSocket frames except audience counts and heartbeats, newest first."""
        self.own_frames = self.root.locator(f"{shown}.own")
        """Those of the user's channel."""

    def call(self, path: str) -> Locator:
        return self.root.locator("li.call").filter(has_text=path)

    async def live_id(self) -> int:
        """The room's id in the links to it."""
        link = self.root.locator("a[href*='live=']").first
        return int(str(await link.get_attribute("href")).partition("live=")[2])


WIDE: ViewportSize = {"width": 1280, "height": 900}
NARROW: ViewportSize = {"width": 360, "height": 740}
PHONE: ViewportSize = {"width": 480, "height": 800}
"""Only WIDE shows the panel beside the room; drawing it takes a third more CPU time."""

OVERFLOWING_ELEMENTS = """() => {
    const parts = "html, #phone, #phone > *, dialog, .actions, .role-who input, .animation-tag";
    const wide = [...document.querySelectorAll(parts)]
        .filter((node) => node.scrollWidth > node.clientWidth + 1);
    const covered = [...document.querySelectorAll(".take-off")].filter((button) => {
        const text = button.parentNode.querySelector(".animation-tag");
        return text.offsetLeft + text.offsetWidth > button.offsetLeft;
    });
    return [...wide, ...covered].map((node) => node.outerHTML.slice(0, 200));
}"""
"""Elements wider than their container, and buttons that cover text."""


async def lose_response(route: Route) -> None:
    """The server handles the request; the page gets a network error."""
    await route.fetch()
    await route.abort("internetdisconnected")


class DemoWindow(DemoPart):
    """One browser window with one user: entry, list of rooms, and what is in it on every page."""

    def __init__(self, page: Page) -> None:
        language = Language()
        super().__init__(page, language)
        self.room = DemoRoomPage(page, language)
        self.panel = DeveloperPanel(page, language)
        self.dialog = DemoDialog(page, language)
        self.wallet = DemoWalletPage(page, language)
        self.balance = page.locator("button.gold")
        self.income = self.balance.locator("small")
        self.rooms = page.locator(".rooms")
        """The live rooms."""
        self.profile = page.locator(".account")

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

    def room_card(self, host: str) -> Locator:
        return self.button(re.compile(f"进入{host}的直播间"))

    async def expect_gold(self, amount: int) -> None:
        await expect(self.balance.locator("b")).to_have_text(str(amount))

    async def switch_language(self, code: str) -> None:
        """Presses the language switch, even if a dialog covers it."""
        if self._language.code != code:
            await self.page.evaluate("document.querySelector('[data-key=language]').click()")
            self._language.code = code

    async def expect_toast(self, text: str) -> None:
        await expect_toast(self.page, text)

    async def expect_user(self, name: str) -> None:
        """The title names the user of the window."""
        await expect(self.page).to_have_title(re.compile(f"^{name} "))

    async def session(self, key: str) -> str:
        """The stored `token` or `user_id`."""
        script = "key => JSON.parse(sessionStorage.getItem('qlive.session'))[key]"
        return await self.page.evaluate(script, key)

    async def check_layout(
        self, name: str, prepare: Callable[[], Awaitable[object]] | None = None
    ) -> None:
        """Nothing overflows on a phone in either language, and axe finds nothing.

        `prepare` opens a dialog, which keeps its language.
        """
        await self.page.set_viewport_size(NARROW)
        for language in ("en", "zh"):
            if await self.dialog.root.count():
                await self.dialog.dismiss()
            await self.switch_language(language)
            if prepare:
                await prepare()
                await expect(self.dialog.root).to_be_visible()
            await wait_for_animations(self.page)
            await take_screenshot(self.page, f"demo-{name}-{language}")
            overflowing = await self.page.evaluate(OVERFLOWING_ELEMENTS)
            assert overflowing == [], f"{name} in {language}"
        assert await axe_violations(self.page) == [], name


class DemoBrowser:
    """All windows of one browser context."""

    def __init__(self, log: BrowserLog, address: str) -> None:
        self.log = log
        self.context = log.context
        self.address = address

    async def open(self, path: str = "/", *, size: ViewportSize = PHONE) -> DemoWindow:
        window = DemoWindow(await self.context.new_page())
        await window.page.set_viewport_size(size)
        await window.page.goto(self.address + path)
        return window

    async def start_live(self, *roles: str) -> list[DemoWindow]:
        """A host in a live room and one window for each role: "man" is 建国, "woman" is 秀英."""
        host = await self.open("/?as=host")
        await host.press("开播")
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
            await window.panel.root.get_by_role("link", name=ROLES[role]).first.click()
        opened_window = DemoWindow(await opened.value)
        await opened_window.page.set_viewport_size(PHONE)
        await opened_window.room.expect_connected()
        return opened_window


async def seat_guest(host: DemoWindow, guest: DemoWindow, name: str, seat: str) -> None:
    """Applies, invites and accepts."""
    await guest.room.press("申请上麦")
    await host.room.invite(name)
    await guest.dialog.press("接受")
    await expect(host.room.seat(seat)).to_contain_text(name)
    await guest.dialog.expect_closed()
