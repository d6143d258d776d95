"""Paging, polling and history of the console's lists."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.console.conftest import COLLECTIONS, insert_rows
from tests.browser.pages.windows import stop_clock

pytestmark = pytest.mark.programs


async def test_long_list_is_paged_to_its_end_with_every_row_once_by_single_or_double_clicks(
    console, db
):
    pages, next_button = console.list, console.list.next_button
    await console.open("overview")
    for name in COLLECTIONS:
        ids = insert_rows(db, name, 101)
        await console.go(name)
        await pages.expect_page(1, rows=50)
        texts = await pages.rows.all_inner_texts()
        await next_button.evaluate("button => { button.click(); button.click(); }")
        await pages.expect_page(2, rows=50)
        texts += await pages.rows.all_inner_texts()
        await next_button.click()
        await pages.expect_page(3, rows=1)
        texts += await pages.rows.all_inner_texts()
        await expect(pages.previous_button).to_be_focused()
        shown = re.findall(r"\b20000\d{3}\b", " ".join(texts))
        assert (len(shown), set(shown)) == (101, ids), name


async def test_list_is_polled_while_the_search_is_focused_but_not_while_a_row_is(console, api):
    await api.host("红娘一")
    await stop_clock(console.page)
    await console.open("rooms")
    await expect(console.list.row("红娘一")).to_have_count(1)
    await console.list.search.focus()
    await api.host("红娘二")
    await console.page.clock.run_for(6_000)
    await expect(console.list.row("红娘二")).to_have_count(1)
    end_live = console.list.row_button("红娘一", "结束直播")
    await end_live.focus()
    await console.page.clock.run_for(12_000)
    await expect(end_live).to_be_focused()


async def test_search_and_page_are_restored_when_returning_from_a_user(console, db):
    insert_rows(db, "people", 120)
    await console.open("people")
    await console.list.search.fill("20000")
    await expect(console.page).to_have_url(re.compile("#/people\\?q=20000$"))
    await console.list.expect_page(1, rows=50)
    await console.list.next_button.click()
    await console.list.expect_page(2, rows=50)
    for go_back in (console.page.go_back, console.link("← 用户").click):
        await console.list.open_link("20000060", "查看")
        await expect(console.user_head).to_contain_text("20000060")
        await go_back()
        await expect(console.list.search).to_have_value("20000")
        await console.list.expect_page(2, rows=50)
    await console.page.reload()
    await console.list.expect_page(2, rows=50)
    await console.page.get_by_role("link", name="用户", exact=True).click()
    await expect(console.list.search).to_have_value("")
