"""Reloads, lost connections and the developer panel of the demo room."""

import re
from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import CDPSession, expect

from tests.browser.pages.demo_window import WIDE, DemoBrowser, DemoWindow, seat_guest
from tests.support.api import ApiFixture

pytestmark = pytest.mark.programs

MAN, WOMAN = "建国", "秀英"
STATUS_LINE_SCRIPT = """async () => {
    const { LineShown } = await import("/demo/status_line.js");
    const line = new LineShown({}, () => {});
    const show = (now) => (line.follow(now), line.draw(), line.node);
    show({ phase: "reconnecting", attempt: 1, delay: 9000, code: 1006, reason: "" });
    const announced = line.node.querySelector(".says");
    const countdown = line.node.querySelector("[aria-hidden].left-seconds");
    const before = [announced.textContent, countdown.textContent];
    const now = Date.now;
    Date.now = () => now() + 4000;
    line.draw();
    const sameNode = announced === line.node.querySelector(".says");
    const after = [announced.textContent, countdown.textContent];
    const reset = (reason) => show({ phase: "live", reset: reason }).textContent;
    return { before, after, sameNode, resets: ["epoch", "too_old", "ahead"].map(reset) };
}"""


@pytest.mark.gen_test(timeout=60)
async def test_reload_restores_seats_queue_and_invitation(demo: DemoBrowser) -> None:
    host, man, woman = await demo.start_live("man", "woman")
    await seat_guest(host, man, MAN, "male")
    await woman.room.apply_for_mic()
    await host.room.invite(WOMAN)
    await expect(woman.invitation.root).to_be_visible()
    for window in (host, man, woman):
        await window.page.reload()
        await window.room.expect_connected()
        await expect(window.room.seat("male")).to_contain_text(MAN)
    await expect(host.room.button("结束直播")).to_be_visible()
    await expect(host.room.queue).to_contain_text(WOMAN)
    await expect(man.room.button("下麦")).to_be_visible()
    await woman.invitation.accept()
    await expect(host.room.seat("female")).to_contain_text(WOMAN)


@pytest.mark.gen_test(timeout=60)
async def test_lost_connection_is_shown_and_missed_events_are_replayed_and_counted(
    demo: DemoBrowser, close_socket: Callable[[str], Awaitable[None]]
) -> None:
    host, man, woman = await demo.start_live("man", "woman")
    await seat_guest(host, man, MAN, "male")
    await woman.page.clock.install()
    network = await demo.context.new_cdp_session(woman.page)
    await _set_offline(network, offline=True)
    await close_socket(await woman.session("user_id"))
    await expect(woman.room.connection).to_contain_text(re.compile("连接断开（1006），.*重连"))
    await woman.screenshot("demo-reconnecting")

    await host.room.take_off_mic(MAN)
    await man.room.apply_for_mic()
    await host.room.invite(MAN)
    await expect(man.invitation.root).to_be_visible()
    await expect(woman.room.seat("male")).to_contain_text(MAN)  # the last known state
    await woman.room.apply_for_mic()
    await expect(woman.notice).to_have_text("没有网络，服务器没有回应")

    await _set_offline(network, offline=False)
    await expect(woman.room.connection).to_have_text("已恢复，补回 3 条错过的消息")
    await expect(woman.panel.root).to_contain_text("刚才补回了 3 条")
    await expect(woman.room.seat("male")).to_contain_text("虚位以待")
    await expect(woman.room.queue).to_contain_text(MAN)
    await expect(woman.room.feed).to_contain_text("重新连上了，补回 3 条错过的消息")
    await woman.screenshot("demo-resumed")
    await woman.page.clock.run_for(8_000)
    await woman.room.expect_connected()


async def _set_offline(network: CDPSession, *, offline: bool) -> None:
    """Affects one window; the switch of the browser context would affect all."""
    conditions = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    await network.send("Network.enable")
    await network.send("Network.emulateNetworkConditions", {"offline": offline, **conditions})


@pytest.mark.gen_test(timeout=60)
async def test_panel_disconnects_one_user_and_shows_every_frame(
    demo: DemoBrowser, api: ApiFixture
) -> None:
    host = await api.host()
    woman = await api.guest(WOMAN, 2, host.live_id)
    man = await demo.join(host.live_id, "man")
    await man.resize(WIDE)
    region = man.page.get_by_role("complementary", name="开发者面板")
    await expect(region.locator(".frame:not(.passing) summary")).to_have_text(
        re.compile(r"snapshot#\d+")
    )
    await man.panel.disconnect()
    await expect(man.room.connection).to_contain_text("连接断开")
    (await woman.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    await man.panel.reconnect()
    await expect(man.room.connection).to_have_text("已恢复，补回 1 条错过的消息")
    types = ["micro_apply", "resumed", "snapshot"]
    await expect(man.panel.frames.locator("summary b")).to_have_text(types)

    await man.panel.root.get_by_text("micro_apply").click()
    await expect(man.panel.frame("micro_apply").locator("pre")).to_contain_text(
        f'"nickname": "{WOMAN}"'
    )
    await man.panel.root.get_by_label("接口").uncheck()
    await expect(man.panel.calls.first).to_be_hidden()
    await man.panel.root.get_by_label("接口").check()
    await _expect_hidden_in_call(man, "qlive_user/login/", "token")
    await man.screenshot("demo-panel")
    await man.page.get_by_role("button", name="English", exact=True).click()
    await expect(man.panel.root).to_contain_text("Missed events just replayed: 1.")


async def _expect_hidden_in_call(window: DemoWindow, path: str, *secrets: str) -> None:
    call = window.panel.call(path)
    await call.click()
    for name in secrets:
        await expect(call.locator("pre")).to_contain_text(f'"{name}": "…"')


@pytest.mark.gen_test(timeout=60)
async def test_panel_shows_error_codes_and_hides_secrets(
    demo: DemoBrowser, api: ApiFixture
) -> None:
    woman = await demo.join((await api.host()).live_id, "woman")
    await woman.resize(WIDE)
    await woman.room.open_gifts()
    await woman.gifts.give()
    await expect(woman.notice).to_have_text("金币不足，请先充值")
    await woman.page.keyboard.press("Escape")
    gift_call = woman.panel.call("push_gift")
    await gift_call.click()
    await expect(gift_call.locator("pre")).to_contain_text('"code": "insufficient_gold"')
    await _expect_hidden_in_call(woman, "qlive_user/login/", "code", "token")


@pytest.mark.gen_test(timeout=60)
async def test_open_call_in_the_panel_stays_open_and_is_updated_when_repeated(
    demo: DemoBrowser, api: ApiFixture
) -> None:
    man = await demo.open("/?as=man", size=WIDE)
    call = man.panel.call("get_livelist")
    await call.click()
    await expect(call.locator("pre")).to_contain_text('"answer": []')
    await api.host("红娘")
    await expect(call.locator("small")).to_contain_text("×")
    await expect(call.locator("pre")).to_contain_text('"room_name": "红娘"')
    await expect(call).to_have_count(1)


@pytest.mark.gen_test(timeout=30)
async def test_reconnect_countdown_is_not_announced_and_resets_have_chinese_reasons(
    demo: DemoBrowser,
) -> None:
    window = await demo.open()
    status = await window.page.evaluate(STATUS_LINE_SCRIPT)
    assert status["before"] == ["连接断开（1006），等待第 1 次重连", "9 秒"]
    assert status["after"] == ["连接断开（1006），等待第 1 次重连", "5 秒"]
    assert status["sameNode"], "a new node would be announced again"
    for text in status["resets"]:
        assert not re.search("[a-z]", text), text
