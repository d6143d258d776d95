"""Screenshots of pages, for documentation and review; no test compares them.

`QLIVE_SCREENSHOTS=1 pytest tests/browser` writes all of them."""

import os
from pathlib import Path

from playwright.async_api import Page

SCREENSHOTS = Path("var/screenshots")
README_PICTURES = {"demo-gift", "ops-room"}


async def take_screenshot(page: Page, name: str, *, full_page: bool = False) -> None:
    """Writes var/screenshots/`name`.png for the README, or if QLIVE_SCREENSHOTS is set."""
    if name in README_PICTURES or "QLIVE_SCREENSHOTS" in os.environ:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        await page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=full_page)
