"""Axe findings, animations and keyboard focus of a page."""

from typing import Any

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Locator, Page

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
