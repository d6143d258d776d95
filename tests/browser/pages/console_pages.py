"""Pages and dialogs of the operators' console."""

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

    async def expect_refusal(self) -> None:
        await expect(self.alert).to_have_text("名字、密码或验证码不对。")

    async def expect_ended_session(self) -> None:
        await expect(self.alert).to_have_text("登录已结束，请重新登录。")


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

    def button(self, name: str, *, exact: bool = False) -> Locator:
        return self.root.get_by_role("button", name=name, exact=exact)

    async def submit(self, button: str, **inputs: str) -> None:
        """Fills in the inputs, by label, and presses the button."""
        for label, text in inputs.items():
            await self.input(label).fill(text)
        await self.button(button, exact=True).click()

    async def expect_text(self, text: str) -> None:
        await expect(self.root).to_contain_text(text)

    async def expect_network_error(self) -> None:
        await expect(self.alert).to_have_text("服务器没有回应，请检查网络。")


class ConsoleOverviewPage:
    def __init__(self, page: Page) -> None:
        self.page = page
        self.facts = page.locator(".facts")
        self.requests_chart = self.chart(page.get_by_text("请求", exact=True))

    def tile(self, title: str) -> Locator:
        return self.page.locator(".tile").filter(has_text=title)

    def chart(self, title: str | Locator) -> Locator:
        charts = self.page.locator("figure")
        if isinstance(title, str):
            return charts.filter(has_text=title)
        return charts.filter(has=title)


class ConsoleRoomPage:
    """One room with its seats, queue, users and events."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.head = page.locator(".room-head")
        self.counts = page.locator(".counts")
        self.queue_section = page.locator(".queue")
        self.free_seats = page.locator(".seat.free")
        self.queue = page.get_by_role("table", name="上麦队列").get_by_role("row")
        self.users = page.get_by_role("region", name="房内的人").get_by_role("row")
        self.removed_users = page.get_by_role("table", name="被请出的人").get_by_role("row")
        self.events = page.get_by_role("list", name="刚刚发生").get_by_role("listitem")

    def seat(self, text: str) -> Locator:
        return self.page.locator(".seat").filter(has_text=text)

    def user(self, text: str) -> Locator:
        return self.users.filter(has_text=text)

    def removed_user(self, text: str) -> Locator:
        return self.removed_users.filter(has_text=text)

    async def expect_event(self, text: str) -> None:
        await expect(self.events.filter(has_text=text)).to_have_count(1)


class ConsoleUserPage:
    def __init__(self, page: Page) -> None:
        self.head = page.locator(".person-head")
        self.sessions = page.get_by_role("table", name="登录").locator("tbody tr")
