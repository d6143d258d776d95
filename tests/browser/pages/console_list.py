"""Lists of the operators' console: filters, rows and paging."""

from playwright.async_api import Locator, Page, expect


class ConsoleList:
    """The list of the current page."""

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

    async def expect_page(self, number: int, rows: int | None = None) -> None:
        if rows is None:
            await expect(self.status).to_contain_text(f"第 {number} 页")
        else:
            await expect(self.status).to_have_text(f"第 {number} 页，{rows} 条")

    async def read_all_pages(self) -> list[list[str]]:
        """The texts of the rows of every page, from the first."""
        pages = [await self.rows.all_inner_texts()]
        while await self.next_button.is_enabled():
            await self.next_button.click()
            await self.expect_page(len(pages) + 1)
            pages.append(await self.rows.all_inner_texts())
        return pages
