"""The example mini-program's pages in Chromium, as scenes.mjs renders them, at three sizes."""

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser

from tests.browser.pages.windows import axe_violations
from tests.support.node import run
from tests.support.paths import ROOT

pytestmark = pytest.mark.programs

FOLDER = ROOT / "tests" / "examples"
PICTURES = ROOT / "examples" / "miniprogram" / "pictures"
PHONES = {"small": (375, 667), "middle": (390, 844), "large": (430, 932)}
MIN_PIXELS = 44
CONTROLS = "wx-button, wx-input, wx-navigator, wx-picker, [role=button]"
FAULTS = """([controls, least]) => {
    const above = ["main--over", "sheet--panel", "invited--invitation", "matched--matched"];
    const inside = document.querySelector(above.map((name) => `[class~="${name}"]`).join());
    const [width, height] = [innerWidth, innerHeight];
    const faults = [];
    const root = inside ?? document.body;
    const isPage = !document.querySelector('[class~="main--room"]');
    for (const node of root.querySelectorAll(controls)) {
        // As far as a finger can: in a list that scrolls, or on a page that does.
        if (isPage || node.closest("wx-scroll-view")) {
            node.scrollIntoView({ block: "nearest", inline: "nearest" });
        }
        const { left, top, right, bottom } = node.getBoundingClientRect();
        const [x, y] = [(left + right) / 2, (top + bottom) / 2];
        const name = node.getAttribute("aria-label") || node.textContent || node.className;
        const isOutside = left < -0.5 || top < -0.5 || right > width + 0.5 || bottom > height + 0.5;
        if (isOutside) faults.push(`${name}: outside ${[left, top, right, bottom]}`);
        const hit = document.elementFromPoint(x, y);
        if (!isOutside && !node.contains(hit)) faults.push(`${name}: under ${hit?.className}`);
        const [capsuleLeft, capsuleBottom] = [width - 94, 58];
        if (!isPage && right > capsuleLeft && top < capsuleBottom && bottom > 0) {
            faults.push(`${name}: under WeChat's capsule`);
        }
        if (right - left < least - 0.5 || bottom - top < least - 0.5) {
            faults.push(`${name}: ${Math.round(right - left)} x ${Math.round(bottom - top)}`);
        }
    }
    const overVideo = '[class~="main--stage"] *, [class~="main--top"] *';
    for (const node of document.querySelectorAll(overVideo)) {
        const isText = [...node.childNodes].some((part) => part.nodeType === 3 && part.data.trim());
        const isVideo = (part) => part.matches('[class~="seat--seat"]');
        let part = isText && getComputedStyle(node).textShadow === "none" ? node : null;
        while (part && !isVideo(part) && getComputedStyle(part).backgroundImage === "none") {
            part = part.parentElement;
        }
        if (part && isVideo(part) && part.querySelector("wx-live-player, wx-live-pusher")) {
            faults.push(`${node.textContent}: neither shadow nor gradient over the video`);
        }
    }
    const wide = document.documentElement.scrollWidth > width ? ["wider than the screen"] : [];
    scrollTo(0, 0);
    return [...faults, ...wide];
}"""


async def test_controls_are_within_reach_and_texts_readable(
    browser: Browser, tmp_path: Path
) -> None:
    """Host, guest and viewer with 0, 8 and 30 applicants, each of their sheets, and other pages."""
    await run(FOLDER / "scenes.mjs", tmp_path)
    scenes = sorted(tmp_path.glob("*.html"))
    assert len(scenes) > 50
    styles = (FOLDER / "wechat.css").read_text()
    page = await browser.new_page()
    faults: dict[str, Any] = {}
    for scene in scenes:
        head = f"<!doctype html><title>{scene.stem}</title><style>{styles}</style>"
        await page.set_content(head + scene.read_text())
        for phone, (width, height) in PHONES.items():
            await page.set_viewport_size({"width": width, "height": height})
            found = await page.evaluate(FAULTS, [CONTROLS, MIN_PIXELS])
            if phone == "small":
                found += await axe_violations(page, structure=False)
            if found:
                faults[f"{scene.stem} {phone}"] = found
            if "QLIVE_SCREENSHOTS" in os.environ and scene.stem.endswith("-8"):
                PICTURES.mkdir(exist_ok=True)
                await page.screenshot(path=PICTURES / f"{scene.stem}-{width}.png")
    await page.close()
    assert faults == {}
