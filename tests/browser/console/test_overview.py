"""The console's overview and its charts."""

import re
from typing import Any

import pytest
from playwright.async_api import Page, expect
from pymongo.database import Database

from runtime.process import ServerProcess
from tests.browser.console.conftest import LiveRoom
from tests.browser.pages.console import Console
from tests.support.api import BASE, ApiFixture
from tests.support.platform_events import event_sender, send_event

pytestmark = pytest.mark.programs

KEPT_ROWS_SCRIPT = """async () => {
    const { remember, recall } = await import('/ops/metrics.js');
    const now = Date.now();
    remember('x', Array.from({ length: 1000 }, (_, n) => ({ at: now - (999 - n) * 5000 })));
    const kept = recall('x').length;
    sessionStorage.setItem('x', '{');
    return [kept, recall('x').length];
}"""
SAMPLES_SCRIPT = """async ([first, second]) => {
    const { look, between, together } = await import('/ops/metrics.js');
    const sample = between(look(first, 0), look(second, 10_000));
    return [sample, together([sample, { ...sample, lag: 9 }], 10_000)];
}"""


@pytest.mark.gen_test(timeout=60)
async def test_overview_shows_service_states_and_charts_of_the_metrics(
    console: Console,
    api: ApiFixture,
    server: ServerProcess,
    live_room: LiveRoom,
    db: Database[dict[str, Any]],
) -> None:
    await api.request("POST", f"{BASE}qlive_pay/notify/", data="forged")
    await send_event(api, event_sender(server), "wxa_punish_event", "twice")
    page, overview = console.page, console.overview
    await page.clock.install()
    await console.log_in()
    await expect(overview.tile("服务状态")).to_contain_text("正常")
    await expect(overview.tile("正在直播")).to_contain_text("房内 3 人")
    await expect(console.list.row("MongoDB")).to_contain_text(re.compile(r"正常.*ms"))
    await expect(console.list.row("剩余")).to_have_count(1)
    (process,) = [row["_id"] for row in db.processes.find()]
    await expect(console.list.row("剩余")).to_contain_text(process)
    await expect(overview.facts).to_contain_text(re.compile("账本核对.*最久未支付订单"))
    await expect(console.list.row("unreadable")).to_contain_text(re.compile(r"\d"))
    penalty = console.list.row("小程序处罚")
    await expect(penalty.get_by_role("cell", name="1", exact=True)).to_be_visible()

    sockets, requests = overview.chart("在线连接"), overview.requests_chart
    await expect(sockets.locator("b")).to_have_text("3")
    await page.clock.run_for(5_000)
    await expect(requests.locator("b")).to_have_text(re.compile(r"^[0-9.]+$"), timeout=12_000)
    await expect(requests.locator("path.line")).to_have_attribute("d", re.compile(r"^M.*"))
    await console.screenshot("ops-overview", full_page=True)

    await penalty.get_by_role("link").click()
    await expect(console.list.filter("微信事件")).to_have_value("wxa_punish_event")
    await expect(console.list.row("虚拟支付小程序处罚")).to_have_count(1)
    await console.list.rows.locator("summary").click()
    await expect(console.list.rows).to_contain_text("违规内容")
    await console.go("overview")

    await console.button("English").click()
    await expect(console.heading).to_have_text("Overview")
    await expect(page.get_by_text("1 process seen")).to_be_visible()
    await expect(page.locator("html")).to_have_attribute("lang", "en")
    await page.reload()
    await expect(console.heading).to_have_text("Overview")
    await page.emulate_media(color_scheme="dark")
    await expect(sockets).to_have_count(0)
    await console.screenshot("ops-overview-dark", full_page=True)


@pytest.mark.gen_test(timeout=60)
async def test_charts_are_sampled_on_every_page_and_survive_a_reload(console: Console) -> None:
    page = console.page
    await page.clock.install()
    await console.log_in()
    await console.go("gifts")
    count = "name => JSON.parse(sessionStorage.getItem(`qlive.ops.${name}`))?.length"
    for _ in range(3):
        async with page.expect_response("**/ops/api/overview"):
            await page.clock.run_for(15_000)
    await page.wait_for_function(f"({count})('gold') >= 3 && ({count})('samples') >= 3")
    before = await page.evaluate(count, "samples")
    await page.reload()
    await console.go("overview")
    for title in ("在线连接", "今日金币"):
        line = console.overview.chart(title).locator("path.line").first
        await expect(line).to_have_attribute("d", re.compile("L.*L"))
    assert await page.evaluate(count, "samples") >= before
    kept, unreadable = await page.evaluate(KEPT_ROWS_SCRIPT)
    assert 350 < kept <= 361
    assert unreadable == 0
    await _check_rates_and_percentiles(page)


async def _check_rates_and_percentiles(page: Page) -> None:
    """They are computed between two samples."""
    head = (
        '# HELP x\nqlive_process_id 7.0\nqlive_server_info{server="a"} 1.0\nqlive_workers 2.0\n'
        'qlive_sockets 5.0\nqlive_loop_lag_seconds{worker="0"} 0.001\n'
        'qlive_loop_lag_seconds{worker="1"} 0.002\n'
    )
    first = head + 'qlive_requests_total{route="A",status="200"} 10\n'
    second = (
        head + 'qlive_requests_total{route="A",status="200"} 40\n'
        'qlive_requests_total{route="B",status="503"} 20\n'
        'qlive_request_seconds_bucket{le="0.1",route="A"} 50\n'
        'qlive_request_seconds_bucket{le="0.2",route="A"} 100\n'
        'qlive_request_seconds_bucket{le="+Inf",route="A"} 100\n'
    )
    sample, total = await page.evaluate(SAMPLES_SCRIPT, [first, second])
    assert (sample["requests"], sample["failed"], sample["refused"]) == (5, 2, 0)
    assert (sample["sockets"], sample["lag"], sample["told"]) == (5, 2, None)
    assert sample["workers"] == 2
    assert sample["took"] == pytest.approx(198)
    assert (total["sockets"], total["requests"], total["lag"]) == (10, 10, 9)
