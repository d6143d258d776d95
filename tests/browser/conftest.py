"""Debian's Chromium, started for one test on the test's own event loop."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, Playwright, async_playwright
from tornado.ioloop import IOLoop

CHROMIUM = Path("/usr/bin/chromium")
SCREENSHOTS = Path("var/screenshots")
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture
def browser(io_loop: IOLoop) -> Iterator[Browser]:
    """Nobody is logged in anywhere."""
    if not CHROMIUM.exists():
        pytest.fail(f"There is no {CHROMIUM}: apt-get install chromium", pytrace=False)
    playwright, browser = io_loop.run_sync(_open)
    yield browser
    io_loop.run_sync(browser.close)
    io_loop.run_sync(playwright.stop)


async def _open() -> tuple[Playwright, Browser]:
    playwright = await async_playwright().start()
    return playwright, await playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)


async def shoot(page: Page, name: str, *, whole: bool = False) -> None:
    """For people to look at; no test does."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=whole)
