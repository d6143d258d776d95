"""Pages, lists and dialogs of the operators' console."""

from playwright.async_api import Locator, Page, expect


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

    async def expect_page(self, number: int, rows: int) -> None:
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
