"""One headless Chromium for each pytest worker, and a new browser context for each test.

Screenshots are written to var/screenshots/ when QLIVE_SCREENSHOTS is set, and those of the README
always: `QLIVE_SCREENSHOTS=1 pytest tests/browser`.
"""

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Error, Page, Playwright, async_playwright
from tornado.ioloop import IOLoop

from tests.loops import LEAVING_SECONDS, new_loop

SCREENSHOTS = Path("var/screenshots")
README_PICTURES = {"demo-gift", "ops-room"}
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A quarter less CPU time: the windows of a test share a renderer, and fewer processes talk.
    "--process-per-site",
    "--enable-features=NetworkServiceInProcess2",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
COLOUR_RULES = ["color-contrast", "link-in-text-block"]
"""The rules of axe that look at colours; the others look at structure and words."""


@pytest.fixture(scope="session")
def browser_loop() -> Iterator[IOLoop]:
    """The event loop of the browser's driver, which lives as long as the worker."""
    with new_loop() as loop:
        yield loop


@pytest.fixture
def io_loop(browser_loop: IOLoop) -> Iterator[IOLoop]:
    """The browser's event loop; tasks that a test leaves on it are cancelled after the test."""
    loop = browser_loop.asyncio_loop
    asyncio.set_event_loop(loop)
    before = asyncio.all_tasks(loop)
    yield browser_loop
    if tasks := asyncio.all_tasks(loop) - before:
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.wait(tasks, timeout=LEAVING_SECONDS))
    asyncio.set_event_loop(None)


@pytest.fixture(scope="session")
def browser(browser_loop: IOLoop) -> Iterator[Browser]:
    """Debian's chromium-headless-shell or chromium, else the one that Playwright installs."""
    playwright, browser = browser_loop.run_sync(_launch)
    yield browser
    browser_loop.run_sync(browser.close)
    browser_loop.run_sync(playwright.stop)


async def _launch() -> tuple[Playwright, Browser]:
    installed = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if installed and installed.startswith("/snap/"):
        installed = None  # Ubuntu's, which Playwright cannot drive
    playwright = await async_playwright().start()
    try:
        return playwright, await playwright.chromium.launch(executable_path=installed, args=FLAGS)
    except Error as failed:
        await playwright.stop()
        if "Executable doesn't exist" not in failed.message:
            raise
    pytest.fail("Chromium is not installed; run `make setup`.", pytrace=False)


async def shoot(page: Page, name: str, *, whole: bool = False) -> None:
    """Writes a screenshot for people to look at; no test does."""
    if name in README_PICTURES or "QLIVE_SCREENSHOTS" in os.environ:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        await page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=whole)


async def axe_violations(page: Page, *, colours: bool = True, structure: bool = True) -> list[Any]:
    """Serious and critical findings of axe, as [rule, element, reason]."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(Axe().axe_script)
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if not structure:
        options["runOnly"] = {"type": "rule", "values": COLOUR_RULES}
    if not colours:
        options["rules"] = {rule: {"enabled": False} for rule in COLOUR_RULES}
    found: list[Any] = await page.evaluate(
        """async (options) => {
            const { violations } = await axe.run(options);
            return violations
                .filter(({ impact }) => ["serious", "critical"].includes(impact))
                .map(({ id, nodes: [node] }) => [id, node.html, node.failureSummary]);
        }""",
        options,
    )
    return found
