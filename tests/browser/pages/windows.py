"""Requests, errors, toasts and screenshots of the windows of all pages."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import BrowserContext, ConsoleMessage, Locator, Page

SCREENSHOTS = Path("var/screenshots")
README_PICTURES = {"demo-gift", "ops-room", "ops-moderation"}


class BrowserLog:
    """Requests and errors of all windows of a browser context.

    `expected_errors` are parts of console errors that a test may cause.
    """

    def __init__(self, context: BrowserContext, expected_errors: tuple[str, ...]) -> None:
        self.context = context
        self.urls: list[str] = []
        self.errors: list[str] = []
        self._expected_errors = expected_errors
        context.on("request", lambda request: self.urls.append(request.url))
        context.on("weberror", lambda web_error: self.errors.append(str(web_error.error)))
        context.on("console", self._on_console)

    def check(self, *origins: str) -> None:
        """Fails on requests to other origins and on unexpected errors."""
        assert {url for url in self.urls if not url.startswith(origins)} == set()
        assert self.errors == []

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not any(
            part in message.text for part in self._expected_errors
        ):
            self.errors.append(message.text)


RECORD_TOASTS = """
window.toasts = [];
new MutationObserver((changes) => changes.forEach(({ target }) => {
    if (target.matches?.(".toast")) toasts.push(target.textContent);
})).observe(document, { childList: true, subtree: true });
"""
TAKE_TOAST = """(text) => {
    const found = toasts.findIndex((toast) => toast.includes(text));
    return found >= 0 && toasts.splice(0, found + 1);
}"""


async def expect_toast(page: Page, text: str) -> None:
    """Waits for a toast with this text that no earlier call has found; it may have disappeared."""
    await page.wait_for_function(TAKE_TOAST, arg=text, polling=100)


async def stop_clock(page: Page) -> None:
    """Sets the clock of the page a minute ahead and stops it: only `run_for` moves it on."""
    await page.clock.install()
    await page.clock.pause_at(datetime.now(UTC) + timedelta(minutes=1))


async def take_screenshot(page: Page, name: str) -> None:
    """Writes var/screenshots/`name`.png for the README, or if QLIVE_SCREENSHOTS is set.

    No test compares it.
    """
    if name in README_PICTURES or "QLIVE_SCREENSHOTS" in os.environ:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        full_page = name not in README_PICTURES
        await page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=full_page)


COLOUR_RULES = ["color-contrast", "link-in-text-block"]
"""The rules of axe that check colours; the others check structure and text."""
MAX_TABS = 60


async def axe_violations(page: Page, *, structure: bool = True) -> list[Any]:
    """Serious and critical findings of axe, as [rule, element, reason]."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(Axe().axe_script)
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if not structure:
        options["runOnly"] = {"type": "rule", "values": COLOUR_RULES}
    return await page.evaluate(
        """async (options) => {
            const { violations } = await axe.run(options);
            return violations
                .filter(({ impact }) => ["serious", "critical"].includes(impact))
                .map(({ id, nodes: [node] }) => [id, node.html, node.failureSummary]);
        }""",
        options,
    )


async def wait_for_animations(page: Page) -> None:
    """Waits until all finite animations have ended."""
    await page.evaluate(
        "Promise.all(document.getAnimations().map(animation => animation.effect.getTiming()"
        ".iterations === Infinity || animation.finished.catch(() => {})))"
    )


async def tab_to(page: Page, target: Locator) -> None:
    """Moves the focus to `target` with the Tab key alone."""
    for _ in range(MAX_TABS):
        if await target.evaluate("node => node === document.activeElement"):
            return
        await page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not reach {target}")


async def press_enter_on(page: Page, target: Locator) -> None:
    await target.wait_for()
    await tab_to(page, target)
    await page.keyboard.press("Enter")
