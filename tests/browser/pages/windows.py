"""What the windows of all pages have: a log of requests and errors, and screenshots."""

import os
from pathlib import Path

from playwright.async_api import BrowserContext, ConsoleMessage, Page

SCREENSHOTS = Path("var/screenshots")
README_PICTURES = {"demo-gift", "ops-room"}


class BrowserLog:
    """Requests and errors of all windows of a browser context.

    `expected_errors` are parts of console errors that a test may cause.
    """

    def __init__(self, context: BrowserContext, *expected_errors: str) -> None:
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


async def take_screenshot(page: Page, name: str) -> None:
    """Writes var/screenshots/`name`.png for the README, or if QLIVE_SCREENSHOTS is set.

    No test compares it.
    """
    if name in README_PICTURES or "QLIVE_SCREENSHOTS" in os.environ:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        full_page = name not in README_PICTURES
        await page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=full_page)
