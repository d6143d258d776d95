"""The console's overview with its charts, and its page of machines and processes."""

import re
from datetime import timedelta

import pytest
from playwright.async_api import expect

from runtime import jobs
from tests.browser.pages.console import PHONE
from tests.browser.pages.windows import tab_to
from tests.support.api import BASE
from tests.support.payments import event_sender, send_event

pytestmark = pytest.mark.programs

IS_SCROLLED = "node => node.scrollLeft > 0 && node === document.activeElement"


@pytest.fixture(autouse=True)
def one_own_status(monkeypatch):
    """The server stores its status when it starts, and none beside those of the test."""
    monkeypatch.setattr(jobs, "STATUS_SECONDS", 3_600)


def store_earlier_statuses(db):
    """Of two processes, one of which has three sockets, over some minutes."""
    own = db.process_statuses.find_one()
    assert own
    readings = own["readings"] | {"sockets": 3, "requests_rate": 10.0, "slowest_request_ms": 250.0}
    other = readings | {"sockets": 0, "requests_rate": 2.5}
    db.process_statuses.delete_many({})
    db.process_statuses.insert_many(
        {"process": name, "at": own["at"] - timedelta(seconds=seconds), "readings": values}
        for seconds in range(60, 300, 15)
        for name, values in (("one", readings), ("two", other))
    )


async def test_overview_shows_service_states_and_charts_of_all_processes(
    console, api, server, live_room, db
):
    await api.request("POST", f"{BASE}qlive_pay/notify/", data="forged")
    await send_event(api, event_sender(server), "wxa_punish_event", "twice")
    page, charts = console.page, console.page.locator("figure")
    await page.clock.install()
    await console.open("overview")
    await expect(console.tile("服务状态")).to_contain_text("正常")
    await expect(console.tile("正在直播")).to_contain_text("房内 3 人")
    await expect(console.list.row("MongoDB")).to_contain_text(re.compile(r"正常.*ms"))
    await expect(page.locator(".definitions")).to_contain_text(
        re.compile("账本核对.*最久未支付订单")
    )
    await expect(console.list.row("unreadable")).to_contain_text(re.compile(r"\d"))
    penalty = console.list.row("小程序处罚")
    await expect(penalty.get_by_role("cell", name="1", exact=True)).to_be_visible()

    requests = charts.filter(has=page.get_by_text("请求", exact=True))
    store_earlier_statuses(db)
    await page.clock.run_for(15_000)
    await expect(charts.filter(has_text="在线连接").locator("b")).to_have_text("3")
    await expect(requests.locator("b")).to_have_text("12.5")
    await expect(requests.locator("path.line")).to_have_attribute("d", re.compile("L.*L"))
    await expect(charts.filter(has_text="最慢请求").locator("b")).to_have_text("250")

    await penalty.get_by_role("link").click()
    await expect(console.list.filter("微信事件")).to_have_value("wxa_punish_event")
    await expect(console.list.row("虚拟支付小程序处罚")).to_have_count(1)
    await console.list.rows.locator("summary").click()
    await expect(console.list.rows).to_contain_text("违规内容")

    await console.go("overview")
    await console.button("English").click()
    await expect(console.heading).to_have_text("Overview")
    await expect(page.get_by_text("30 minutes of 2 processes")).to_be_visible()
    await expect(page.locator("html")).to_have_attribute("lang", "en")
    await page.reload()
    await expect(console.heading).to_have_text("Overview")


async def test_fleet_shows_machines_missing_processes_and_mixed_versions(console, server, db):
    own = db.process_statuses.find_one({"process": server.context.process_id})
    assert own
    now = own["at"]
    leases = {"serves": (8000, timedelta(hours=1)), "gone": (8001, timedelta(minutes=-5))}
    for name, (port, left) in leases.items():
        place = {"machine": "qlive-b", "address": f"http://10.0.0.12:{port}"}
        status = own | place | {"_id": name, "process": name, "version": "0.0.9+00000000"}
        db.process_statuses.insert_one(status)
        db.processes.insert_one({"_id": name, "renewed_at": now, "expires_at": now + left})
    page = console.page
    await page.clock.install()
    await console.open("fleet")
    await expect(console.tile("机器")).to_contain_text("2 个进程持有租约")
    await expect(console.tile("失联进程")).to_contain_text("1")
    await expect(console.tile("版本")).to_contain_text("不一致0.0.9+00000000, 1.0.0+")

    rows = console.table("qlive-b 的进程")
    await expect(console.table(f"{own['machine']} 的进程")).to_contain_text(
        re.compile(r"端口 \d+pid \d+")
    )
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
