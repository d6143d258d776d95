"""The demo room, used as a newcomer uses it: three windows, three people."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, CDPSession, Locator, Page, Request, expect
from pymongo import MongoClient
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.testing import bind_unused_port

from handlers.routes import application
from server import Server
from tests.browser.conftest import shoot
from tests.phones import Street

WIDE = {"width": 1280, "height": 900}
NARROW = {"width": 360, "height": 740}


class Window:
    """One window, which is one person."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.feed = page.get_by_role("log")
        self.line = page.locator(".line")
        self.dialog = page.get_by_role("dialog")
        self.over = page.locator(".over")
        self.said = page.locator("#said")

    def button(self, name: str | re.Pattern[str]) -> Locator:
        return self.page.get_by_role("button", name=name, exact=isinstance(name, str))

    def seat(self, name: str) -> Locator:
        return self.page.locator(f".seat.{name}")

    async def gold(self, amount: int) -> None:
        await expect(self.page.locator("button.gold b")).to_have_text(str(amount))

    async def enter_as(self, role: str) -> None:
        await self.button(f"以{role}身份进入").click()

    async def inside(self) -> None:
        await expect(self.line).to_have_text("已连接")

    async def recharge(self, case: str, block: str = "60 金币") -> None:
        """In the dialog that is open."""
        await self.pick(block)
        await self.dialog.get_by_label("这笔支付会怎样").select_option(case)
        await self.dialog.get_by_role("button", name=re.compile("支付")).click()

    async def count_flights(self) -> None:
        """Of gifts, however soon they have landed: `window.flown`."""
        await self.page.evaluate(
            "window.flown = 0; new MutationObserver(changes => changes.forEach(change =>"
            " change.addedNodes.forEach(one => { flown += one.className === 'flying' ? 1 : 0 })))"
            ".observe(document.querySelector('.room'), { childList: true })"
        )

    async def pick(self, name: str) -> None:
        """A gift on the shelf, or whom it is for."""
        await self.dialog.locator("label").filter(has_text=name).first.click()


class Windows:
    """All windows of one browser; what they asked for and complained of is held against them."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.context = context
        self.address = address
        self.asked: list[str] = []
        self.complaints: list[str] = []
        context.on("request", self._note)
        context.on("weberror", lambda failure: self.complaints.append(str(failure.error)))
        context.on("console", lambda said: self._hear(said.type, said.text))

    def _note(self, request: Request) -> None:
        self.asked.append(request.url)

    def _hear(self, kind: str, text: str) -> None:
        # A refusal is an answer, and a network that is cut is what one test is about.
        if kind == "error" and "status of 4" not in text and "ERR_INTERNET" not in text:
            self.complaints.append(text)

    async def open(self, path: str = "/") -> Window:
        window = Window(await self.context.new_page())
        await window.page.goto(self.address + path)
        return window

    async def live(self) -> tuple[Window, Window, Window]:
        """A matchmaker's room with a man and a woman in it."""
        host = await self.open()
        await host.enter_as("红娘")
        await host.button("开播").click()
        await host.inside()
        man = await self.follow(host, "男嘉宾")
        woman = await self.follow(host, "女嘉宾")
        return host, man, woman

    async def follow(self, host: Window, role: str) -> Window:
        """By the link that opens the next person in a window of their own."""
        async with self.context.expect_page() as opened:
            await host.page.locator("#panel").get_by_role("link", name=role).click()
        window = Window(await opened.value)
        await window.inside()
        return window


@pytest.fixture
def windows(io_loop: IOLoop, browser: Browser, server: Server) -> Iterator[Windows]:
    """They may ask nobody but the server, and complain of nothing."""
    context = io_loop.run_sync(lambda: browser.new_context(viewport=WIDE))
    windows = Windows(context, server.address)
    yield windows
    io_loop.run_sync(context.close)
    socket = server.address.replace("http", "ws", 1)
    ours = (f"{server.address}/", f"{socket}/", "data:")
    assert {url for url in windows.asked if not url.startswith(ours)} == set()
    assert windows.complaints == []


async def sit(host: Window, guest: Window, name: str, seat: str) -> None:
    """Applied, invited, accepted."""
    await guest.button("申请上麦").click()
    await host.button(f"邀请{name}上麦").click()
    await guest.dialog.get_by_role("button", name="接受").click()
    await expect(host.seat(seat)).to_contain_text(name)
    await expect(guest.dialog).to_have_count(0)


# ---- the story


@pytest.mark.gen_test(timeout=120)
async def test_three_people_in_three_windows_see_the_whole_product(windows: Windows) -> None:
    host = await windows.open()
    await shoot(host.page, "demo-door")
    await host.enter_as("红娘")
    await shoot(host.page, "demo-list-empty")
    await host.button("开播").click()
    await host.inside()

    man = await windows.open()
    await man.enter_as("男嘉宾")
    await man.button(re.compile("进入hongniang1的直播间")).click()
    await man.inside()
    woman = await windows.follow(host, "女嘉宾")
    everybody = (host, man, woman)
    await expect(host.page.locator(".count")).to_have_text("3 人在房间")

    await man.button("申请上麦").click()
    await expect(host.page.locator(".queue")).to_contain_text("建国")
    await expect(woman.feed).to_contain_text("建国 申请上麦")
    await shoot(host.page, "demo-queue")
    await host.button("邀请建国上麦").click()
    await expect(man.dialog).to_contain_text("hongniang1邀请你坐到镜头前")
    await expect(man.dialog).to_contain_text(re.compile(r"还剩 \d+ 秒"))
    await shoot(man.page, "demo-invitation")
    await man.dialog.get_by_role("button", name="接受").click()
    for window in everybody:
        await expect(window.seat("male")).to_contain_text("建国")
        await expect(window.seat("male")).to_contain_text("动画代替视频")
        await expect(window.feed).to_contain_text("建国 上麦了")
    await expect(man.seat("male")).to_contain_text("你在麦上")

    await woman.button("送礼").click()
    await expect(woman.dialog).to_contain_text("还差 1")
    await woman.dialog.get_by_role("button", name="赠送").click()
    await expect(woman.said).to_have_text("金币不足，请先充值")
    await shoot(woman.page, "demo-gifts")
    await woman.dialog.get_by_role("button", name="充值").click()
    await woman.recharge("once")
    await expect(woman.dialog).to_contain_text("到账 +60 金币，现有 60")
    await shoot(woman.page, "demo-recharge")
    await woman.dialog.get_by_role("button", name="关闭").click()
    await woman.gold(60)
    await woman.button("送礼").click()
    await woman.pick("香吻")
    for window in everybody:
        await window.count_flights()
    await woman.dialog.get_by_role("button", name="赠送").click()
    for window in everybody:
        await expect(window.feed).to_contain_text("秀英 送给 hongniang1 香吻 ×1")
        assert await window.page.evaluate("window.flown") == 1
    await shoot(host.page, "demo-gift")
    await woman.gold(8)
    for window in everybody:
        await expect(window.page.locator(".flying")).to_have_count(0)

    await man.button("排行").click()
    ranked = re.compile("送礼榜.*秀英.*52 金币.*收益榜.*hongniang1")
    await expect(man.dialog).to_contain_text(ranked)
    await man.dialog.get_by_role("button", name="今日").click()
    await expect(man.dialog.get_by_role("button", name="今日")).to_have_attribute(
        "aria-pressed", "true"
    )
    await expect(man.dialog).to_contain_text("秀英")
    await shoot(man.page, "demo-rank")
    await man.page.keyboard.press("Escape")

    await host.button("结束直播").click()
    await expect(host.dialog).to_contain_text("3 个人会立即看到直播结束")
    await host.dialog.get_by_role("button", name="结束直播").click()
    for window in everybody:
        await expect(window.over).to_contain_text("直播已结束")
        await expect(window.over).to_contain_text(re.compile("秀英.*52 金币"))
    await shoot(woman.page, "demo-over")
    await woman.over.get_by_role("button", name="看看别的直播").click()
    await expect(woman.page.locator(".rooms")).to_contain_text("现在没有人开播")


@pytest.mark.gen_test(timeout=60)
async def test_one_window_is_one_person_and_the_next_gets_the_next_name(windows: Windows) -> None:
    host, man, woman = await windows.live()
    names = [await window.page.title() for window in (host, man, woman)]
    assert [name.partition(" ")[0] for name in names] == ["hongniang1", "建国", "秀英"]
    other = await windows.follow(host, "男嘉宾")
    await expect(other.page).to_have_title(re.compile("志强"))
    mei = await windows.open()
    await mei.page.get_by_label("女嘉宾的名字").fill("  小美 ")
    await mei.enter_as("女嘉宾")
    await expect(mei.page.locator(".own")).to_contain_text("小美")
    assert await mei.page.locator(".own img").evaluate("image => image.naturalWidth") > 0
    watcher = await windows.open()
    await watcher.page.get_by_label("观众的名字").fill("路人")
    await watcher.page.get_by_label("性别").select_option("0")
    await watcher.enter_as("观众")
    await watcher.button(re.compile("进入hongniang1")).click()
    await expect(watcher.button("申请上麦")).to_be_disabled()


@pytest.mark.gen_test(timeout=60)
async def test_the_host_declines_invites_takes_off_and_puts_out(windows: Windows) -> None:
    host, man, woman = await windows.live()
    await woman.button("申请上麦").click()
    await host.button("婉拒秀英的申请").click()
    await expect(woman.feed).to_contain_text("红娘婉拒了 秀英 的申请")
    await expect(woman.button("申请上麦")).to_be_enabled()

    await host.button("观众").click()
    await expect(host.dialog).to_contain_text("围观中")
    await settled(host.page)
    await shoot(host.page, "demo-audience")
    await host.dialog.get_by_role("button", name="邀请秀英上麦").click()
    await expect(woman.dialog).to_contain_text("邀请你上麦")
    await woman.page.keyboard.press("Escape")
    await woman.button("回应邀请").click()
    await woman.dialog.get_by_role("button", name="婉拒").click()
    await expect(host.feed).to_contain_text("秀英 婉拒了邀请")
    await expect(woman.dialog).to_have_count(0)

    await sit(host, man, "建国", "male")
    await host.button("请建国下麦").click()
    await expect(man.seat("male")).to_contain_text("虚位以待")
    await expect(man.feed).to_contain_text("红娘请 建国 下麦")

    await host.button("观众").click()
    await host.dialog.get_by_role("button", name="请建国离开一分钟").click()
    await expect(man.over).to_contain_text("你被请出了直播间")
    await man.over.get_by_role("button", name="看看别的直播").click()
    await man.button(re.compile("进入hongniang1")).click()
    await expect(man.said).to_contain_text("红娘把你请出了这个直播间")


@pytest.mark.gen_test(timeout=60)
async def test_the_same_person_in_two_windows_is_told_and_goes_on_in_one(
    windows: Windows, street: Street
) -> None:
    host, man, _ = await windows.live()
    other = await windows.open()
    await other.page.get_by_label("男嘉宾的名字").fill("建国")
    await other.enter_as("男嘉宾")
    await other.inside()
    await expect(man.over).to_contain_text("你在另一个窗口打开了这里")
    await man.over.get_by_role("button", name="在这里继续").click()
    await man.inside()
    await expect(other.over).to_contain_text("你在另一个窗口打开了这里")
    await expect(host.page.locator(".count")).to_have_text("3 人在房间")


@pytest.mark.gen_test(timeout=60)
async def test_a_login_that_has_ended_elsewhere_leads_back_to_the_door(
    windows: Windows, street: Street
) -> None:
    _, man, woman = await windows.live()
    token = await man.page.evaluate("JSON.parse(sessionStorage.getItem('qlive.session')).token")
    headers = {"Authorization": f"QLiveToken {token}"}
    (await street.ask("GET", "/wx/api/qlive/qlive_user/logout/", headers=headers)).ok()
    await expect(man.button("以男嘉宾身份进入")).to_be_visible()
    await expect(man.said).to_have_text("登录已失效，请重新进入")
    await expect(woman.page.locator(".count")).to_have_text("2 人在房间")


@pytest.mark.gen_test(timeout=60)
async def test_a_name_full_of_markup_is_only_a_name(windows: Windows) -> None:
    name = "<b>x</b><i id=q>"
    host, *_ = await windows.live()
    man = await windows.open()
    await man.page.get_by_label("男嘉宾的名字").fill(name)
    await man.enter_as("男嘉宾")
    await man.button(re.compile("进入hongniang1")).click()
    await man.button("申请上麦").click()
    await expect(host.page.locator(".queue")).to_contain_text(name)
    await expect(host.feed).to_contain_text(f"{name} 申请上麦")
    await expect(host.page.locator("#q")).to_have_count(0)


# ---- gone and back


@pytest.mark.gen_test(timeout=60)
async def test_a_reload_in_the_middle_finds_everything_where_it_was(windows: Windows) -> None:
    host, man, woman = await windows.live()
    await sit(host, man, "建国", "male")
    await woman.button("申请上麦").click()
    await host.button("邀请秀英上麦").click()
    await expect(woman.dialog).to_be_visible()
    for window in (host, man, woman):
        await window.page.reload()
        await window.inside()
        await expect(window.seat("male")).to_contain_text("建国")
    await expect(host.button("结束直播")).to_be_visible()
    await expect(host.page.locator(".queue")).to_contain_text("秀英")
    await expect(man.button("下麦")).to_be_visible()
    await woman.dialog.get_by_role("button", name="接受").click()
    await expect(host.seat("female")).to_contain_text("秀英")


@pytest.mark.gen_test(timeout=60)
async def test_a_lost_connection_is_said_and_what_was_missed_is_caught_up_on_and_counted(
    windows: Windows, server: Server, street: Street
) -> None:
    host, man, woman = await windows.live()
    await sit(host, man, "建国", "male")
    network = await windows.context.new_cdp_session(woman.page)
    await go_offline(network, offline=True)
    hang_up(server, await user_id(woman))
    await expect(woman.line).to_contain_text(re.compile("连接断开（1006），.*重连"))
    await shoot(woman.page, "demo-reconnecting")
    await host.button("请建国下麦").click()
    await man.button("申请上麦").click()
    await host.button("邀请建国上麦").click()
    await expect(man.dialog).to_be_visible()
    await expect(woman.seat("male")).to_contain_text("建国")  # as she last saw it
    await woman.button("申请上麦").click()
    await expect(woman.said).to_have_text("没有网络，服务器没有回应")
    await go_offline(network, offline=False)
    await expect(woman.line).to_have_text("已恢复，补回 3 条错过的消息")
    await expect(woman.page.locator("#panel")).to_contain_text("刚才补回了 3 条")
    await expect(woman.seat("male")).to_contain_text("虚位以待")
    await expect(woman.page.locator(".queue")).to_contain_text("建国")
    await expect(woman.feed).to_contain_text("重新连上了，补回 3 条错过的消息")
    await shoot(woman.page, "demo-caught-up")
    await expect(woman.line).to_have_text("已连接", timeout=12_000)


@pytest.mark.gen_test(timeout=60)
async def test_the_panel_cuts_the_network_of_one_person_and_shows_every_frame(
    windows: Windows,
) -> None:
    host, man, woman = await windows.live()
    panel = man.page.get_by_role("complementary", name="开发者面板")
    await expect(panel.locator(".frame:not(.passing) summary")).to_have_text(
        re.compile(r"snapshot#\d+")
    )
    await panel.get_by_role("button", name="断网").click()
    await expect(man.line).to_contain_text("连接断开")
    await woman.button("申请上麦").click()
    await expect(host.page.locator(".queue")).to_contain_text("秀英")
    await panel.get_by_role("button", name="恢复网络").click()
    await expect(man.line).to_have_text("已恢复，补回 1 条错过的消息")
    frames = panel.locator("li.frame:not(.passing) summary b")
    await expect(frames).to_have_text(["micro_apply", "resumed", "snapshot"])
    await panel.get_by_text("micro_apply").click()
    await expect(panel.locator("pre").first).to_contain_text('"nickname": "秀英"')
    await panel.get_by_label("接口").uncheck()
    await expect(panel.locator("li.call").first).to_be_hidden()
    await panel.get_by_label("接口").check()
    login = panel.locator("li.call").filter(has_text="qlive_user/login/")
    await login.click()
    await expect(login.locator("pre")).to_contain_text('"token": "…"')
    await shoot(man.page, "demo-panel")


def hang_up(server: Server, who: str) -> None:
    """The server's end of somebody's socket goes without a word."""
    for _, outbox in server.parts.hub.members:
        if outbox.user_id == who:
            outbox._stream.close()


async def user_id(window: Window) -> str:
    script = "JSON.parse(sessionStorage.getItem('qlive.session')).user_id"
    found: str = await window.page.evaluate(script)
    return found


async def go_offline(network: CDPSession, *, offline: bool) -> None:
    """One window alone; the switch of its context would take everybody's network."""
    speed = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    await network.send("Network.enable")
    await network.send("Network.emulateNetworkConditions", {"offline": offline, **speed})


# ---- money


@pytest.mark.gen_test(timeout=90)
async def test_gold_arrives_once_or_not_at_all_and_the_dialog_says_which(windows: Windows) -> None:
    woman = await windows.open("/?as=woman")
    await woman.button("0 金币，充值").click()
    steps = woman.dialog.get_by_role("status", name="支付经过")
    await woman.recharge("cancel")
    await expect(steps).to_contain_text("没有入账，余额仍是 0 金币")
    await woman.recharge("twice", "300 金币")
    await expect(steps).to_contain_text("通知了两次，只入账一次：+300 金币，现有 300")
    await woman.recharge("late")
    await expect(steps).to_contain_text("正在等服务器入账")
    await expect(steps).to_contain_text("到账 +60 金币，现有 360", timeout=8_000)
    for case, why in (("forged", "被篡改的通知已被拒绝"), ("wrong_amount", "金额与订单不符")):
        await woman.recharge(case)
        await expect(steps).to_contain_text(why, timeout=10_000)
        await woman.gold(360)
    await shoot(woman.page, "demo-recharge-forged")


@pytest.mark.gen_test(timeout=90)
async def test_gold_whose_report_was_lost_comes_by_the_query_also_into_a_closed_dialog(
    windows: Windows, server: Server
) -> None:
    woman = await windows.open("/?as=woman")
    await woman.button("0 金币，充值").click()
    await woman.recharge("never")
    await expect(woman.dialog).to_contain_text("没有到账：通知没有来", timeout=10_000)
    await woman.page.keyboard.press("Escape")
    mongodb = server.settings.mongodb
    with MongoClient[dict[str, Any]](mongodb.uri) as client:  # a minute has passed
        orders = client[mongodb.database].orders
        due = orders.update_one({"state": "created"}, {"$set": {"due_at": datetime.now(UTC)}})
        assert due.modified_count == 1
    await expect(woman.said).to_have_text("查单后到账 +60 金币，现有 60", timeout=15_000)


# ---- everybody can use it


@pytest.mark.gen_test(timeout=90)
async def test_nothing_is_wider_than_a_phone_of_360_pixels(windows: Windows) -> None:
    host, man, woman = await windows.live()
    for window in (host, man, woman):
        await window.page.set_viewport_size(NARROW)
    door = await windows.open()
    await door.page.set_viewport_size(NARROW)
    await fits(door, "door")
    await door.enter_as("观众")
    await expect(door.page.locator(".room-card")).to_be_visible()
    await fits(door, "list")
    await sit(host, man, "建国", "male")
    await woman.button("申请上麦").click()
    await expect(host.page.locator(".queue li")).to_have_count(1)
    await fits(host, "host")
    await fits(man, "guest")
    await woman.button("送礼").click()
    await fits(woman, "gifts")
    await woman.dialog.get_by_role("button", name="充值").click()
    await woman.recharge("once")
    await expect(woman.dialog).to_contain_text("到账 +60")
    await fits(woman, "recharge")
    await woman.dialog.get_by_role("button", name="关闭").click()
    await host.button("邀请秀英上麦").click()
    await expect(woman.dialog).to_be_visible()
    await fits(woman, "invitation")
    await man.button("开发者面板").click()
    await expect(man.page.locator("#panel")).to_be_visible()
    await fits(man, "panel")
    await man.page.locator("#panel").get_by_role("button", name="关闭").click()
    await expect(man.page.locator("#panel")).to_be_hidden()


async def settled(page: Page) -> None:
    """Nothing moves any more but what never stops."""
    await page.evaluate(
        "Promise.all(document.getAnimations().map(one => one.effect.getTiming()"
        ".iterations === Infinity || one.finished.catch(() => {})))"
    )


async def fits(window: Window, where: str) -> None:
    await settled(window.page)
    await shoot(window.page, f"demo-360-{where}")
    wide = """[document.documentElement, ...document.querySelectorAll('#phone, #phone > *, dialog')]
        .filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.className)"""
    assert await window.page.evaluate(wide) == [], where


@pytest.mark.gen_test(timeout=90)
async def test_the_main_path_is_walked_by_keyboard_alone(windows: Windows) -> None:
    host = await windows.open()
    await press(host, host.button("以红娘身份进入"))
    await press(host, host.button("开播"))
    await host.inside()
    man = await windows.open()
    await man.page.bring_to_front()
    await press(man, man.button("以男嘉宾身份进入"))
    await press(man, man.button(re.compile("进入hongniang1")))
    await press(man, man.button("申请上麦"))
    await host.page.bring_to_front()
    await press(host, host.button("邀请建国上麦"))
    await man.page.bring_to_front()
    await press(man, man.dialog.get_by_role("button", name="接受"))
    await expect(man.seat("male")).to_contain_text("你在麦上")
    await press(man, man.button("0 金币，充值"))
    await reach(man, man.dialog.get_by_role("radio", name=re.compile("^60 金币")))
    await man.page.keyboard.press("ArrowRight")
    await press(man, man.dialog.get_by_role("button", name="支付 ¥30.00"))
    await expect(man.dialog).to_contain_text("到账 +300 金币")
    await man.page.keyboard.press("Escape")
    await expect(man.dialog).to_have_count(0)
    await press(man, man.button("送礼"))
    await reach(man, man.dialog.get_by_role("radio", name=re.compile("玫瑰")))
    await man.page.keyboard.press("ArrowRight")
    await press(man, man.dialog.get_by_role("button", name="赠送"))
    await expect(man.feed).to_contain_text("建国 送给 hongniang1 棒棒糖 ×1")
    await press(man, man.button("下麦"))
    await expect(man.seat("male")).to_contain_text("虚位以待")
    # A room that is drawn anew under the hands does not lose the keyboard.
    await expect(man.page.locator(".acts button:focus")).to_have_count(1)


async def press(window: Window, target: Locator) -> None:
    await expect(target).to_be_visible()
    await reach(window, target)
    await window.page.keyboard.press("Enter")


async def reach(window: Window, target: Locator) -> None:
    for _ in range(40):
        if await target.evaluate("node => node === document.activeElement"):
            return
        await window.page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not lead to {target}")


@pytest.mark.gen_test(timeout=60)
async def test_the_switch_speaks_english_and_it_stays(windows: Windows) -> None:
    host, man, _ = await windows.live()
    await man.button("申请上麦").click()
    await expect(man.feed).to_contain_text("建国 申请上麦")
    await man.button("English").click()
    await expect(man.page.locator("html")).to_have_attribute("lang", "en")
    await expect(man.feed).to_contain_text("建国 applies for the mic")
    await expect(man.line).to_have_text("Connected")
    await expect(man.button("中文")).to_be_focused()
    await man.button("Gifts").click()
    await expect(man.dialog).to_contain_text("Lollipop")
    await settled(man.page)
    await shoot(man.page, "demo-english")
    left = await man.page.evaluate("document.querySelector('dialog').textContent")
    assert not re.search(r"[\u4e00-\u9fff]", left.replace("建国", "")), left
    await man.page.reload()
    await expect(man.line).to_have_text("Connected")
    await expect(host.line).to_have_text("已连接")  # her window speaks as she chose


@pytest.mark.gen_test(timeout=180)
async def test_axe_finds_nothing_serious_on_any_page_wide_or_narrow(windows: Windows) -> None:
    door = await windows.open()
    await look_over(door, "door")
    host, man, woman = await windows.live()
    await door.enter_as("观众")
    await expect(door.page.locator(".room-card")).to_be_visible()
    await look_over(door, "list")
    await sit(host, man, "建国", "male")
    await woman.button("申请上麦").click()
    await expect(host.page.locator(".queue li")).to_have_count(1)
    await look_over(host, "host")
    await look_over(man, "guest")
    await woman.button("送礼").click()
    await woman.pick("火箭")
    await look_over(woman, "gifts")
    await woman.dialog.get_by_role("button", name="充值").click()
    await woman.recharge("cancel")
    await look_over(woman, "recharge")
    await host.button("邀请秀英上麦").click()
    await expect(woman.dialog).to_contain_text("邀请你上麦")
    await look_over(woman, "invitation")
    await host.button("观众").click()
    await look_over(host, "audience")
    await host.page.keyboard.press("Escape")
    await man.page.locator("#panel").get_by_role("button", name="断网").click()
    await look_over(man, "lost")
    await host.button("结束直播").click()
    await look_over(host, "end")
    await host.dialog.get_by_role("button", name="结束直播").click()
    await expect(woman.over).to_contain_text("直播已结束")
    await look_over(woman, "over")


async def look_over(window: Window, where: str) -> None:
    for size in (NARROW, WIDE):
        await window.page.set_viewport_size(size)  # type: ignore[arg-type]
        await settled(window.page)
        found = await Axe().run(window.page)
        serious = [
            (one["id"], one["nodes"][0]["html"], one["nodes"][0]["failureSummary"])
            for one in found.response["violations"]
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == [], (where, size)


@pytest.mark.gen_test(timeout=60)
async def test_nothing_flies_for_those_who_want_no_motion(windows: Windows, street: Street) -> None:
    host, man, _ = await windows.live()
    await man.page.emulate_media(reduced_motion="reduce")
    host_id = await user_id(host)
    (room,) = (await street.ops("GET", "rooms")).ok()["items"]
    rich = await street.guest("有钱人", 1, room["id"], gold=100)
    page = (await rich.get("qlive_gift/")).ok()
    await man.count_flights()
    given = {"user_id": host_id, "gift_id": page["results"][0]["id"], "num": 9}
    (await rich.get("qlive_gift/push_gift/", **given)).ok()
    for window in (host, man):
        await expect(window.feed).to_contain_text("有钱人 送给 hongniang1")
    assert await man.page.evaluate("window.flown") == 0


# ---- where it stands


@pytest.mark.gen_test(timeout=30)
async def test_the_page_runs_nothing_but_its_own_files(street: Street) -> None:
    for path in ("/", "/demo/index.html", "/demo/app.js", "/sdk/qlive.js"):
        answer = await street.ask("GET", path)
        assert answer.status == 200, path
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
    page = (await street.ask("GET", "/")).text
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|<style|\sstyle=", page)
    for path in ("/demo/nothing.js", "/demo/..%2f..%2fserver.py", "/sdk/..%2fpackage.json"):
        assert (await street.ask("GET", path)).refusal == (404, "no_such_thing"), path


@pytest.mark.gen_test(timeout=30)
async def test_there_is_no_demo_room_where_there_is_no_simulator(server: Server) -> None:
    there = HTTPServer(application(replace(server.parts, simulator=None)))
    listener, port = bind_unused_port()
    there.add_socket(listener)
    try:
        for path in ("/", "/demo/app.js", "/sdk/qlive.js"):
            url = f"http://127.0.0.1:{port}{path}"
            answer = await AsyncHTTPClient().fetch(url, raise_error=False)
            assert answer.code == 404, path
            assert b'"no_such_thing"' in answer.body
    finally:
        there.stop()
        await there.close_all_connections()
