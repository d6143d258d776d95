"""The console's overview and its charts."""

import re
from datetime import timedelta
from typing import Any

import pytest
from playwright.async_api import expect
from pymongo.database import Database

from runtime import jobs
from runtime.process import ServerProcess
from tests.browser.console.conftest import LiveRoom
from tests.browser.pages.console import Console
from tests.support.api import BASE, ApiFixture
from tests.support.platform_events import event_sender, send_event

pytestmark = pytest.mark.programs


@pytest.fixture(autouse=True)
def one_own_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server stores a report when it starts, and none beside those of the test."""
    monkeypatch.setattr(jobs, "REPORT_SECONDS", 3_600)


def store_earlier_reports(db: Database[dict[str, Any]]) -> None:
    """Of two processes, one of which has three sockets, over some minutes."""
    own = db.process_reports.find_one()
    assert own
    readings = own["readings"] | {"sockets": 3, "requests_rate": 10.0, "slowest_request_ms": 250.0}
    other = readings | {"sockets": 0, "requests_rate": 2.5}
    db.process_reports.delete_many({})
    db.process_reports.insert_many(
        {"process": name, "at": own["at"] - timedelta(seconds=seconds), "readings": values}
        for seconds in range(60, 300, 15)
        for name, values in (("one", readings), ("two", other))
    )


async def test_overview_shows_service_states_and_charts_of_all_processes(
    console: Console,
    api: ApiFixture,
    server: ServerProcess,
    live_room: LiveRoom,
    db: Database[dict[str, Any]],
) -> None:
    await api.request("POST", f"{BASE}qlive_pay/notify/", data="forged")
    await send_event(api, event_sender(server), "wxa_punish_event", "twice")
    page, charts = console.page, console.page.locator("figure")
    await page.clock.install()
    await console.open("overview")
    await expect(console.tile("服务状态")).to_contain_text("正常")
    await expect(console.tile("正在直播")).to_contain_text("房内 3 人")
    await expect(console.list.row("MongoDB")).to_contain_text(re.compile(r"正常.*ms"))
    await expect(page.locator(".facts")).to_contain_text(re.compile("账本核对.*最久未支付订单"))
    await expect(console.list.row("unreadable")).to_contain_text(re.compile(r"\d"))
    penalty = console.list.row("小程序处罚")
    await expect(penalty.get_by_role("cell", name="1", exact=True)).to_be_visible()

    requests = charts.filter(has=page.get_by_text("请求", exact=True))
    store_earlier_reports(db)
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
