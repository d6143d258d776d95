"""The console's page of machines and processes."""

import re
from datetime import timedelta
from typing import Any

import pytest
from playwright.async_api import expect
from pymongo.database import Database

from runtime.process import ServerProcess
from tests.browser.pages.accessibility import tab_to
from tests.browser.pages.console import PHONE, Console

pytestmark = pytest.mark.programs

IS_SCROLLED = "node => node.scrollLeft > 0 && node === document.activeElement"


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"server": {"machine": "qlive-a"}}


async def test_fleet_shows_machines_missing_processes_and_mixed_versions(
    console: Console, server: ServerProcess, db: Database[dict[str, Any]]
) -> None:
    own = db.process_reports.find_one({"process": server.context.process_id})
    assert own
    now = own["at"]
    leases = {"serves": (8000, timedelta(hours=1)), "gone": (8001, timedelta(minutes=-5))}
    for name, (port, left) in leases.items():
        place = {"machine": "qlive-b", "address": f"http://10.0.0.12:{port}"}
        report = own | place | {"_id": name, "process": name, "version": "0.0.9+00000000"}
        db.process_reports.insert_one(report)
        db.processes.insert_one({"_id": name, "renewed_at": now, "expires_at": now + left})
    page = console.page
    await page.clock.install()
    await console.open("fleet")
    await expect(console.tile("机器")).to_contain_text("2 个进程持有租约")
    await expect(console.tile("失联进程")).to_contain_text("1")
    await expect(console.tile("版本")).to_contain_text("不一致0.0.9+00000000, 1.0.0+")

    rows = console.table("qlive-b 的进程")
    await expect(console.table("qlive-a 的进程")).to_contain_text(re.compile(r"端口 \d+pid \d+"))
    await expect(rows.nth(0)).to_contain_text(re.compile("端口 8000.*服务中.*续租.*已运行.*ms"))
    await expect(rows.nth(1)).to_contain_text(re.compile("端口 8001.*失联.*已失效.*启动"))
    await console.check_colours("fleet-missing")

    await page.set_viewport_size(PHONE)
    sheet = page.get_by_role("region", name="qlive-b 的进程")
    await tab_to(page, sheet)
    await page.keyboard.press("ArrowRight")
    await page.wait_for_function(IS_SCROLLED, arg=await sheet.element_handle())
    db.processes.delete_one({"_id": "gone"})
    await page.clock.run_for(10_000)
    await expect(rows).to_have_count(1)
    assert await sheet.evaluate(IS_SCROLLED), "a poll keeps the focus and the position"
    db.processes.delete_one({"_id": "serves"})
    await page.clock.run_for(10_000)
    await expect(sheet).to_have_count(0)
    await expect(console.tile("版本")).to_contain_text("一致1.0.0+")
