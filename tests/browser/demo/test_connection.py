"""Lost connections and the developer panel of the demo room."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.pages.demo_window import WIDE, seat_guest

pytestmark = pytest.mark.programs

MAN, WOMAN = "建国", "秀英"


async def test_lost_connection_is_shown_and_missed_events_are_replayed_and_counted(
    demo, close_socket
):
    host, man, woman = await demo.start_live("man", "woman")
    await seat_guest(host, man, MAN, "male")
    await woman.page.clock.install()
    # Long pauses: ten short ones would exhaust the attempts of a minute.
    await woman.page.evaluate("Math.random = () => 0.99")
    network = await demo.context.new_cdp_session(woman.page)
    await _set_offline(network, offline=True)
    await close_socket(await woman.session("user_id"))
    await expect(woman.room.connection).to_contain_text(re.compile("连接断开（1006），.*重连"))

    await host.room.press(f"请{MAN}下麦")
    await man.room.press("申请上麦")
    await host.room.invite(MAN)
    await expect(man.dialog.root).to_be_visible()
    await expect(woman.room.seat("male")).to_contain_text(MAN)  # the last known state
    await woman.room.press("申请上麦")
    await woman.expect_toast("没有网络，服务器没有回应")

    await _set_offline(network, offline=False)
    await expect(woman.room.connection).to_have_text("已恢复，补回 3 条错过的消息")
    await expect(woman.panel.root).to_contain_text("刚才补回了 3 条")
    await expect(woman.room.seat("male")).to_contain_text("虚位以待")
    await expect(woman.room.queue).to_contain_text(MAN)
    await expect(woman.room.feed).to_contain_text("重新连上了，补回 3 条错过的消息")
    await woman.page.clock.run_for(8_000)
    await woman.room.expect_connected()


async def _set_offline(network, *, offline):
    """Affects one window; the switch of the browser context would affect all."""
    conditions = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    await network.send("Network.enable")
    await network.send("Network.emulateNetworkConditions", {"offline": offline, **conditions})


async def test_panel_disconnects_one_user_and_shows_calls_and_frames_without_secrets(demo, api):
    man = await demo.open("/?as=man", size=WIDE)
    listing = man.panel.call("get_livelist")
    await listing.click()
    await expect(listing.locator("pre")).to_contain_text('"answer": []')
    host = await api.host("红娘")
    await expect(listing.locator("small")).to_contain_text("×")  # repeated, and still open
    await expect(listing.locator("pre")).to_contain_text('"room_name": "红娘"')
    await expect(listing).to_have_count(1)

    await man.room_card("红娘").click()
    await man.room.expect_connected()
    await man.panel.press("断网")
    await expect(man.room.connection).to_contain_text("连接断开")
    woman = await api.guest(WOMAN, 2, host.live_id)
    (await woman.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    await man.panel.press("恢复网络")
    await expect(man.room.connection).to_have_text("已恢复，补回 1 条错过的消息")
    types = ["micro_apply", "resumed", "snapshot"]
    await expect(man.panel.frames.locator("summary b")).to_have_text(types)
    frame = man.panel.frames.first
    await frame.click()
    await expect(frame.locator("pre")).to_contain_text(f'"nickname": "{WOMAN}"')

    await expect(man.panel.own_frames.first).to_contain_text("own")
    await man.panel.root.get_by_label("用户频道").uncheck()
    await expect(man.panel.own_frames.first).to_be_hidden()

    await man.room.press("送礼")
    await man.dialog.press("赠送")
    await man.expect_toast("金币不足，请先充值")
    await man.dialog.dismiss()
    await man.panel.root.get_by_label("接口").uncheck()
    await expect(listing).to_be_hidden()
    await man.panel.root.get_by_label("接口").check()
    gift, login = man.panel.call("push_gift"), man.panel.call("qlive_user/login/")
    await gift.click()
    await expect(gift.locator("pre")).to_contain_text('"code": "insufficient_gold"')
    await login.click()
    for secret in ("code", "token"):
        await expect(login.locator("pre")).to_contain_text(f'"{secret}": "…"')
