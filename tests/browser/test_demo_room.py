"""The demo room, used as a newcomer uses it: three windows, three people."""

import re
from asyncio import Queue
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import (
    Browser,
    BrowserContext,
    CDPSession,
    Locator,
    Page,
    Request,
    Route,
    ViewportSize,
    expect,
)
from pymongo import MongoClient
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.testing import bind_unused_port

import demo
import timetable
from handlers.routes import application
from server import Server
from tencent.simulator import payer
from tests.browser.conftest import axe_violations, shoot
from tests.phones import Street

pytestmark = pytest.mark.programs

WIDE: ViewportSize = {"width": 1280, "height": 900}
NARROW: ViewportSize = {"width": 360, "height": 740}
PHONE: ViewportSize = {"width": 480, "height": 800}
"""Only WIDE shows the panel beside the room; to draw it takes a third more CPU time."""
SOON, LATER = 7_000, 3_000
"""Milliseconds after which web/demo/recharge.js gives up waiting, and between its later looks."""
CAST = ["hongniang1", "建国", "志强", "秀英"]
WORDS = re.findall(r'\["([^"]*)", "([^"]*)"\]', Path("web/demo/table.js").read_text())


def in_english(words: str) -> str:
    """What the page says when it is switched; names stay as they are."""
    for ours, theirs in sorted(WORDS, key=lambda pair: "{" in pair[0]):
        found = re.fullmatch(re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+)", re.escape(ours)), words)
        if found:
            english: str = theirs.format(**found.groupdict())
            return english
    return words


class Window:
    """One window, which is one person."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self._english = False
        self.feed = page.get_by_role("log")
        self.line = page.locator(".line")
        self.dialog = page.get_by_role("dialog")
        self.over = page.locator(".over")
        self.said = page.locator("#said")

    def said_as(self, words: str) -> str:
        return in_english(words) if self._english else words

    async def speak(self, language: str) -> None:
        """Presses the language switch, also behind an open dialog."""
        if self._english != (language == "en"):
            await self.page.evaluate("document.querySelector('[data-key=language]').click()")
            self._english = not self._english

    def button(self, name: str | re.Pattern[str]) -> Locator:
        if isinstance(name, str):
            return self.page.get_by_role("button", name=self.said_as(name), exact=True)
        return self.page.get_by_role("button", name=name)

    def choice(self, name: str) -> Locator:
        """A button of the open sheet."""
        return self.dialog.get_by_role("button", name=self.said_as(name), exact=True)

    def seat(self, name: str) -> Locator:
        return self.page.locator(f".seat.{name}")

    async def gold(self, amount: int) -> None:
        await expect(self.page.locator("button.gold b")).to_have_text(str(amount))

    async def enter_as(self, role: str) -> None:
        await self.button(f"以{role}身份进入").click()

    async def inside(self) -> None:
        await expect(self.line).to_have_text(self.said_as("已连接"))

    async def recharge(self, case: str, block: str = "60 金币") -> None:
        """In the dialog that is open."""
        await self.pick(block)
        await self.dialog.locator("#case").select_option(case)
        await self.dialog.get_by_role("button", name=re.compile("支付|Pay")).click()

    async def count_flights(self, *, motion: bool = True) -> None:
        """Counts the gifts that fly from now on in `window.flown`, also those that have landed."""
        if motion:
            await self.page.emulate_media(reduced_motion="no-preference")
        await self.page.evaluate(
            "window.flown = 0; new MutationObserver(changes => changes.forEach(change =>"
            " change.addedNodes.forEach(one => { flown += one.className === 'flying' ? 1 : 0 })))"
            ".observe(document.querySelector('.room'), { childList: true })"
        )

    async def pick(self, name: str) -> None:
        """A gift on the shelf, or whom it is for."""
        await self.dialog.locator("label").filter(has_text=self.said_as(name)).first.click()


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

    async def open(self, path: str = "/", *, size: ViewportSize = PHONE) -> Window:
        window = Window(await self.context.new_page())
        if size != PHONE:
            await window.page.set_viewport_size(size)
        await window.page.goto(self.address + path)
        return window

    async def live(self, *roles: str) -> list[Window]:
        """A matchmaker in her room, and a window for each guest: "man" is 建国, "woman" is 秀英."""
        host = await self.open("/?as=host")
        await host.button("开播").click()
        await host.inside()
        link = host.page.locator("#panel a[href*='live=']").first
        live_id = int(str(await link.get_attribute("href")).partition("live=")[2])
        return [host, *[await self.join(live_id, role) for role in roles]]

    async def join(self, live_id: int, role: str) -> Window:
        window = await self.open(f"/?as={role}&live={live_id}")
        await window.inside()
        return window

    async def follow(self, host: Window, role: str) -> Window:
        """By the link that opens the next person in a window of their own."""
        async with self.context.expect_page() as opened:
            link = host.page.locator("#panel").get_by_role("link", name=host.said_as(role))
            await link.first.click()
        window = Window(await opened.value)
        await window.inside()
        return window


@pytest.fixture
def demo_people(monkeypatch: pytest.MonkeyPatch) -> bool:
    """Of the 22 demo people the server has those whom these tests meet."""
    monkeypatch.setattr(demo, "PEOPLE", [one for one in demo.PEOPLE if one[0] in CAST])
    return True


@pytest.fixture
def windows(io_loop: IOLoop, browser: Browser, server: Server) -> Iterator[Windows]:
    """Windows of phones, without motion, which costs CPU time.

    The server is the only host that they ask, and no error reaches their consoles."""
    context = io_loop.run_sync(lambda: browser.new_context(viewport=PHONE, reduced_motion="reduce"))
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
    await guest.choice("接受").click()
    await expect(host.seat(seat)).to_contain_text(name)
    await expect(guest.dialog).to_have_count(0)


# ---- the story


@pytest.mark.gen_test(timeout=120)
async def test_three_people_in_three_windows_see_the_whole_product(windows: Windows) -> None:
    host = await windows.open(size=WIDE)
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
    await expect(woman.page).to_have_title(re.compile("秀英"))
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
    host, man = await windows.live("man")
    names = [await window.page.title() for window in (host, man)]
    assert [name.partition(" ")[0] for name in names] == ["hongniang1", "建国"]
    await host.page.set_viewport_size(WIDE)
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
    host, man, woman = await windows.live("man", "woman")
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
    host, man = await windows.live("man")
    other = await windows.open()
    await other.page.get_by_label("男嘉宾的名字").fill("建国")
    await other.enter_as("男嘉宾")
    await other.inside()
    await expect(man.over).to_contain_text("你在另一个窗口打开了这里")
    await man.over.get_by_role("button", name="在这里继续").click()
    await man.inside()
    await expect(other.over).to_contain_text("你在另一个窗口打开了这里")
    await expect(host.page.locator(".count")).to_have_text("2 人在房间")


@pytest.mark.gen_test(timeout=60)
async def test_a_login_that_has_ended_elsewhere_leads_back_to_the_door(
    windows: Windows, street: Street
) -> None:
    host, man = await windows.live("man")
    await expect(host.page.locator(".count")).to_have_text("2 人在房间")
    token = await man.page.evaluate("JSON.parse(sessionStorage.getItem('qlive.session')).token")
    headers = {"Authorization": f"QLiveToken {token}"}
    (await street.ask("GET", "/wx/api/qlive/qlive_user/logout/", headers=headers)).ok()
    await expect(man.button("以男嘉宾身份进入")).to_be_visible()
    await expect(man.said).to_have_text("登录已失效，请重新进入")
    await expect(host.page.locator(".count")).to_have_text("1 人在房间")


@pytest.mark.gen_test(timeout=60)
async def test_a_name_full_of_markup_is_only_a_name(windows: Windows) -> None:
    name = "<b>x</b><i id=q>"
    (host,) = await windows.live()
    man = await windows.open()
    await man.page.get_by_label("男嘉宾的名字").fill(name)
    await man.enter_as("男嘉宾")
    await man.button(re.compile("进入hongniang1")).click()
    await man.button("申请上麦").click()
    await expect(host.page.locator(".queue")).to_contain_text(name)
    await expect(host.feed).to_contain_text(f"{name} 申请上麦")
    await expect(host.page.locator("#q")).to_have_count(0)


@pytest.mark.gen_test(timeout=60)
async def test_a_refusal_on_the_way_in_is_read_on_the_list_where_one_ends_up(
    windows: Windows, street: Street
) -> None:
    nowhere = await windows.open("/?as=man&live=999")
    await expect(nowhere.page.locator(".rooms")).to_be_visible()
    await expect(nowhere.said).to_have_text("没有这个直播间")
    (host,) = await windows.live()
    (room,) = (await street.ops("GET", "rooms")).ok()["items"]
    await host.button("结束直播").click()
    await host.choice("结束直播").click()
    await expect(host.over).to_contain_text("直播已结束")
    late = await windows.open(f"/?as=woman&live={room['id']}")
    await expect(late.page.locator(".rooms")).to_be_visible()
    await expect(late.said).to_have_text("这个直播间没有开播")


@pytest.mark.gen_test(timeout=60)
async def test_enter_takes_the_letters_while_chinese_is_composed_and_enters_afterwards(
    windows: Windows,
) -> None:
    man = await windows.open()
    name = man.page.get_by_label("男嘉宾的名字")
    await name.fill("xiaoming")
    busy = await name.evaluate(
        "field => { const how = { key: 'Enter', isComposing: true, bubbles: true };"
        " field.dispatchEvent(new KeyboardEvent('keydown', how));"
        " return document.querySelectorAll('[aria-busy]').length }"
    )
    assert busy == 0
    await name.fill("小明")
    await name.press("Enter")
    await expect(man.page.locator(".own")).to_contain_text("小明")


@pytest.mark.gen_test(timeout=60)
async def test_an_invitation_does_not_close_what_somebody_is_in_the_middle_of(
    windows: Windows,
) -> None:
    host, man = await windows.live("man")
    await man.button("申请上麦").click()
    await man.button("送礼").click()
    await man.pick("城堡")
    await host.button("邀请建国上麦").click()
    await expect(man.said).to_have_text("邀请你上麦")
    await expect(man.dialog).to_have_count(1)
    await expect(man.dialog.get_by_role("radio", name=re.compile("城堡"))).to_be_checked()
    await settled(man.page)
    await shoot(man.page, "demo-invited-while-giving")
    await man.choice("关闭").click()
    await man.button("回应邀请").click()
    await man.choice("接受").click()
    await expect(host.seat("male")).to_contain_text("建国")


# ---- gone and back


@pytest.mark.gen_test(timeout=60)
async def test_a_reload_in_the_middle_finds_everything_where_it_was(windows: Windows) -> None:
    host, man, woman = await windows.live("man", "woman")
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
    host, man, woman = await windows.live("man", "woman")
    await sit(host, man, "建国", "male")
    await woman.page.clock.install()
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
    await woman.page.clock.run_for(8_000)
    await expect(woman.line).to_have_text("已连接")


@pytest.mark.gen_test(timeout=60)
async def test_the_panel_cuts_the_network_of_one_person_and_shows_every_frame(
    windows: Windows, street: Street
) -> None:
    host = await street.host()
    woman = await street.guest("秀英", 2, host.live_id)
    man = await windows.join(host.live_id, "man")
    await man.page.set_viewport_size(WIDE)
    panel = man.page.get_by_role("complementary", name="开发者面板")
    await expect(panel.locator(".frame:not(.passing) summary")).to_have_text(
        re.compile(r"snapshot#\d+")
    )
    await panel.get_by_role("button", name="断网").click()
    await expect(man.line).to_contain_text("连接断开")
    (await woman.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    await panel.get_by_role("button", name="恢复网络").click()
    await expect(man.line).to_have_text("已恢复，补回 1 条错过的消息")
    frames = panel.locator("li.frame:not(.passing) summary b")
    await expect(frames).to_have_text(["micro_apply", "resumed", "snapshot"])
    await panel.get_by_text("micro_apply").click()
    applied = panel.locator("li.frame").filter(has=man.page.get_by_text("micro_apply", exact=True))
    await expect(applied.locator("pre")).to_contain_text('"nickname": "秀英"')
    await panel.get_by_label("接口").uncheck()
    await expect(panel.locator("li.call").first).to_be_hidden()
    await panel.get_by_label("接口").check()
    login = panel.locator("li.call").filter(has_text="qlive_user/login/")
    await login.click()
    await expect(login.locator("pre")).to_contain_text('"token": "…"')
    await shoot(man.page, "demo-panel")
    await man.button("English").click()
    panel = man.page.locator("#panel")
    await expect(panel).to_contain_text("1 were caught up on just now.")


@pytest.mark.gen_test(timeout=60)
async def test_the_panel_shows_why_something_was_refused_and_hides_what_is_secret(
    windows: Windows, street: Street
) -> None:
    woman = await windows.join((await street.host()).live_id, "woman")
    await woman.page.set_viewport_size(WIDE)
    await woman.button("送礼").click()
    await woman.choice("赠送").click()
    await expect(woman.said).to_have_text("金币不足，请先充值")
    await woman.page.keyboard.press("Escape")
    gift = woman.page.locator("li.call").filter(has_text="push_gift")
    await gift.click()
    await expect(gift.locator("pre")).to_contain_text('"code": "insufficient_gold"')
    login = woman.page.locator("li.call").filter(has_text="qlive_user/login/")
    await login.click()
    await expect(login.locator("pre")).to_contain_text('"code": "…"')
    await expect(login.locator("pre")).to_contain_text('"token": "…"')


@pytest.mark.gen_test(timeout=60)
async def test_a_call_that_is_looked_into_stays_open_while_it_is_made_again(
    windows: Windows, street: Street
) -> None:
    man = await windows.open("/?as=man", size=WIDE)
    look = man.page.locator("li.call").filter(has_text="get_livelist")
    await look.click()
    await expect(look.locator("pre")).to_contain_text('"answer": []')
    await street.host("红娘")
    await expect(look.locator("small")).to_contain_text("×")
    await expect(look.locator("pre")).to_contain_text('"room_name": "红娘"')
    await expect(look).to_have_count(1)


@pytest.mark.gen_test(timeout=30)
async def test_the_line_counts_down_beside_what_is_read_out_and_has_words_for_every_reset(
    windows: Windows,
) -> None:
    page = (await windows.open()).page
    said = await page.evaluate(
        """async () => {
            const { LineShown } = await import("/demo/line.js");
            const line = new LineShown({}, () => {});
            const show = (now) => (line.follow(now), line.draw(), line.node);
            show({ phase: "reconnecting", attempt: 1, delay: 9000, code: 1006, reason: "" });
            const says = line.node.querySelector(".says");
            const left = line.node.querySelector("[aria-hidden].left-seconds");
            const before = [says.textContent, left.textContent];
            const now = Date.now;
            Date.now = () => now() + 4000;
            line.draw();
            const same = says === line.node.querySelector(".says");
            const after = [says.textContent, left.textContent];
            const reset = (why) => show({ phase: "live", reset: why }).textContent;
            return { before, after, same, resets: ["epoch", "too_old", "ahead"].map(reset) };
        }"""
    )
    assert said["before"] == ["连接断开（1006），等待第 1 次重连", "9 秒"]
    assert said["after"] == ["连接断开（1006），等待第 1 次重连", "5 秒"]
    assert said["same"], "drawn anew it would be read out again"
    for words in said["resets"]:
        assert not re.search("[a-z]", words), words


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
async def test_gold_arrives_once_or_not_at_all_and_the_dialog_says_which(
    windows: Windows, monkeypatch: pytest.MonkeyPatch
) -> None:
    woman = await windows.open("/?as=woman")
    await woman.page.clock.install()
    await woman.button("0 金币，充值").click()
    steps = woman.dialog.get_by_role("status", name="支付经过")
    await woman.recharge("cancel")
    await expect(steps).to_contain_text("没有入账，余额仍是 0 金币")
    await woman.recharge("twice", "300 金币")
    await expect(steps).to_contain_text("通知了两次，只入账一次：+300 金币，现有 300")
    monkeypatch.setattr(payer, "LATE_SECONDS", 1.0)
    await woman.recharge("late")
    await expect(steps).to_contain_text("正在等服务器入账")
    await expect(steps).to_contain_text("到账 +60 金币，现有 360")
    for case, why in (("forged", "被篡改的通知已被拒绝"), ("wrong_amount", "金额与订单不符")):
        await woman.recharge(case)
        await expect(steps).to_contain_text("正在等服务器入账")
        await woman.page.clock.run_for(SOON)
        await expect(steps).to_contain_text(why)
        await woman.gold(360)
    await shoot(woman.page, "demo-recharge-forged")


@pytest.mark.gen_test(timeout=90)
async def test_gold_whose_report_was_lost_comes_by_the_query_also_into_a_closed_dialog(
    windows: Windows, server: Server
) -> None:
    woman = await windows.open("/?as=woman")
    await woman.page.clock.install()
    await woman.button("0 金币，充值").click()
    await woman.recharge("never")
    await expect(woman.dialog).to_contain_text("正在等服务器入账")
    await woman.page.clock.run_for(SOON)
    await expect(woman.dialog).to_contain_text("没有到账：通知没有来")
    await woman.page.keyboard.press("Escape")
    mongodb = server.settings.mongodb
    with MongoClient[dict[str, Any]](mongodb.uri) as client:  # a minute has passed
        orders = client[mongodb.database].orders
        due = orders.update_one({"state": "created"}, {"$set": {"due_at": datetime.now(UTC)}})
        assert due.modified_count == 1
    await timetable._sweep_orders(server.parts)
    await woman.page.clock.run_for(LATER)
    await expect(woman.said).to_have_text("查单后到账 +60 金币，现有 60")


@pytest.mark.gen_test(timeout=60)
async def test_a_gift_that_nobody_has_answered_is_said_asked_for_again_and_paid_once(
    windows: Windows, server: Server, street: Street
) -> None:
    woman = await windows.join((await street.host()).live_id, "woman")
    await woman.button("0 金币，充值").click()
    await woman.recharge("once", "300 金币")
    await woman.gold(300)
    await woman.choice("关闭").click()
    await woman.page.route("**/push_gift/**", lose_the_answer)
    await woman.button("送礼").click()
    await woman.pick("香吻")
    await woman.choice("赠送").click()
    await expect(woman.dialog).to_contain_text("1 件礼物还没有回音")
    await expect(woman.choice("赠送")).to_have_count(0)
    await settled(woman.page)
    await shoot(woman.page, "demo-unanswered")
    await woman.page.keyboard.press("Escape")
    await woman.button("送礼").click()
    await expect(woman.dialog).to_contain_text("1 件礼物还没有回音")
    await expect(woman.choice("赠送")).to_have_count(0)
    await woman.page.unroute_all(behavior="wait")
    hang_up(server, await user_id(woman))
    await expect(woman.said).to_have_text("上次没等到回音的礼物已送达")
    await expect(woman.choice("赠送")).to_be_visible()
    await woman.gold(248)
    await woman.choice("赠送").click()  # a rose, and another gift
    await expect(woman.feed).to_contain_text("秀英 送给 红娘 玫瑰 ×1")
    await woman.gold(247)
    await expect(woman.feed.get_by_text("香吻")).to_have_count(1)


async def lose_the_answer(route: Route) -> None:
    """The server does it, and the phone never hears of it."""
    await route.fetch()
    await route.abort("internetdisconnected")


@pytest.mark.gen_test(timeout=60)
async def test_many_gifts_at_once_ask_for_the_purse_one_call_at_a_time(
    windows: Windows, street: Street
) -> None:
    (host,) = await windows.live()
    host_id = await user_id(host)
    (room,) = (await street.ops("GET", "rooms")).ok()["items"]
    rich = await street.guest("有钱人", 1, room["id"], gold=9000)
    held: Queue[Route] = Queue()
    await host.page.route("**/get_userinfo/**", held.put)
    ring = next(
        gift for gift in (await rich.get("qlive_gift/")).ok()["results"] if gift["name"] == "钻戒"
    )
    given = {"user_id": host_id, "gift_id": ring["id"]}
    for _ in range(5):
        (await rich.get("qlive_gift/push_gift/", **given)).ok()
    await expect(host.feed.get_by_text("钻戒")).to_have_count(5)
    async with host.page.expect_event("requestfailed"):
        await (await held.get()).abort("internetdisconnected")  # and nobody complains
    assert held.empty()
    for _ in range(3):
        (await rich.get("qlive_gift/push_gift/", **given)).ok()
    await expect(host.feed.get_by_text("钻戒")).to_have_count(8)
    await (await held.get()).continue_()
    await (await held.get()).continue_()  # for all that came while the first was on its way
    income = 8 * ring["gold"] // 2
    await expect(host.page.locator("button.gold small")).to_have_text(f"+{income}")
    await expect(host.button(f"0 金币、{income} 收益，充值")).to_be_visible()
    assert held.empty()


@pytest.mark.gen_test(timeout=60)
async def test_who_has_signed_out_is_not_troubled_by_a_payment_that_is_still_looked_for(
    windows: Windows,
) -> None:
    woman = await windows.open("/?as=woman")
    await woman.page.clock.install()
    await woman.button("0 金币，充值").click()
    await woman.recharge("never")
    await expect(woman.dialog).to_contain_text("正在等服务器入账")
    await woman.page.clock.run_for(10_000)
    await expect(woman.dialog).to_contain_text("没有到账：通知没有来", timeout=10_000)
    await woman.choice("关闭").click()
    await woman.button("退出登录").click()
    name = woman.page.get_by_label("女嘉宾的名字")
    await name.fill("小美")
    before = len(windows.asked)
    await woman.page.clock.run_for(30_000)
    await woman.page.evaluate("fetch('/demo/mark.svg').then(answer => answer.text())")
    asked = [url.removeprefix(windows.address) for url in windows.asked[before:]]
    assert asked == ["/demo/mark.svg"]
    await expect(name).to_have_value("小美")


@pytest.mark.gen_test(timeout=60)
async def test_a_shelf_without_gifts_and_a_recharge_without_blocks_say_so(
    windows: Windows, street: Street
) -> None:
    woman = await windows.join((await street.host()).live_id, "woman")
    await woman.page.route("**/qlive_pay/", lambda route: route.fulfill(json=[]))
    nothing: dict[str, Any] = {"count": 0, "next": None, "previous": None, "results": []}
    await woman.page.route("**/qlive_gift/?*", lambda route: route.fulfill(json=nothing))
    await woman.button("送礼").click()
    await expect(woman.dialog).to_contain_text("还没有上架的礼物")
    await woman.page.keyboard.press("Escape")
    await woman.button("0 金币，充值").click()
    await expect(woman.dialog).to_contain_text("现在没有可以充值的档位")


# ---- everybody can use it


@pytest.mark.gen_test(timeout=90)
async def test_pages_outside_a_room_fit_a_phone_and_pass_axe_in_both_languages(
    windows: Windows, street: Street
) -> None:
    await street.host()
    window = await windows.open()
    await look_over(window, "door")
    await window.enter_as("观众")
    await expect(window.page.locator(".room-card")).to_be_visible()
    await look_over(window, "list")

    async def pay(case: str, ending: str) -> None:
        await window.page.locator("button.gold").click()
        await window.recharge(case)
        await expect(window.dialog.locator(".steps li").last).to_have_class(ending)

    await look_over(window, "recharge", lambda: pay("once", "good"))
    await window.choice("关闭").click()
    await look_over(window, "recharge-cancelled", lambda: pay("cancel", "bad"))
    await window.choice("关闭").click()
    await window.page.set_viewport_size(NARROW)
    await window.button("开发者面板").click()
    await expect(window.page.locator("#panel")).to_be_visible()
    await look_over(window, "panel")
    await window.page.set_viewport_size(NARROW)
    await window.page.locator("#panel").get_by_role("button", name="关闭").click()
    await expect(window.page.locator("#panel")).to_be_hidden()


@pytest.mark.gen_test(timeout=120)
async def test_a_room_fits_a_phone_and_passes_axe_in_both_languages(
    windows: Windows, street: Street
) -> None:
    host, man, woman = await windows.live("man", "woman")
    (room,) = (await street.ops("GET", "rooms")).ok()["items"]
    rich = await street.guest("有钱人", 1, room["id"], gold=52)
    kiss = {"user_id": await user_id(host), "gift_id": 4}
    (await rich.get("qlive_gift/push_gift/", **kiss)).ok()
    await sit(host, man, "建国", "male")
    await woman.button("申请上麦").click()
    await expect(host.page.locator(".queue li")).to_have_count(1)
    await expect(host.page.locator("button.gold small")).to_have_text("+26")
    await look_over(host, "host")
    await look_over(man, "guest")

    async def choose_a_gift() -> None:
        await woman.button("送礼").click()
        await woman.pick("火箭")

    await look_over(woman, "gifts", choose_a_gift)
    await woman.choice("关闭").click()
    await host.button("邀请秀英上麦").click()
    await expect(woman.dialog).to_contain_text("邀请你上麦")
    await woman.page.keyboard.press("Escape")
    await expect(woman.button("回应邀请")).to_be_visible()
    await look_over(woman, "invited")
    await look_over(woman, "invitation", lambda: woman.button("回应邀请").click())

    async def open_the_audience() -> None:
        await host.button(re.compile("^(观众|Audience)$")).click()
        await expect(host.dialog.locator("li")).to_have_count(2)

    await look_over(host, "audience", open_the_audience)
    await host.choice("关闭").click()
    await man.page.locator("#panel").get_by_role("button", name="断网").click()
    await look_over(man, "lost")
    await look_over(host, "end", lambda: host.button("结束直播").click())
    await host.choice("结束直播").click()
    await look_over(woman, "over", lambda: expect(woman.over).to_contain_text("有钱人"))


async def look_over(
    window: Window, where: str, ready: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Looks at a page at both widths, in English and then in Chinese.

    `ready` opens its dialog, which keeps its language, or waits for what the page asks for. Axe
    sees each language and each width once; colours are the same in both languages.
    """
    page = window.page
    for language in ("en", "zh"):
        if await window.dialog.count():
            await page.keyboard.press("Escape")
            await expect(window.dialog).to_have_count(0)
        await window.speak(language)
        if ready:
            await ready()
        await page.set_viewport_size(NARROW)
        await settled(page)
        await shoot(page, f"demo-360-{where}-{language}")
        assert await page.evaluate(TOO_WIDE) == [], f"{where} is too wide in {language}"
        if language == "zh":
            assert await axe_violations(page) == [], f"{where}, narrow, in Chinese"
        await page.set_viewport_size(WIDE)
        await settled(page)
        found = await axe_violations(page, colours=language == "zh", structure=language == "en")
        assert found == [], f"{where}, wide, in {language}"


TOO_WIDE = """() => {
    const holds = "html, #phone, #phone > *, dialog, .acts, .role input, .stand-in";
    const wide = [...document.querySelectorAll(holds)]
        .filter((node) => node.scrollWidth > node.clientWidth + 1);
    const under = [...document.querySelectorAll(".take-off")].filter((button) => {
        const words = button.parentNode.querySelector(".stand-in");
        return words.offsetLeft + words.offsetWidth > button.offsetLeft;
    });
    return [...wide, ...under].map((node) => node.outerHTML.slice(0, 200));
}"""
"""What is wider than its place, and buttons that lie over words."""


async def settled(page: Page) -> None:
    """Nothing moves any more but what never stops."""
    await page.evaluate(
        "Promise.all(document.getAnimations().map(one => one.effect.getTiming()"
        ".iterations === Infinity || one.finished.catch(() => {})))"
    )


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
    host, man = await windows.live("man")
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


@pytest.mark.gen_test(timeout=60)
async def test_nothing_flies_for_those_who_want_no_motion(windows: Windows, street: Street) -> None:
    host, man = await windows.live("man")
    host_id = await user_id(host)
    (room,) = (await street.ops("GET", "rooms")).ok()["items"]
    rich = await street.guest("有钱人", 1, room["id"], gold=100)
    page = (await rich.get("qlive_gift/")).ok()
    await host.count_flights()
    await man.count_flights(motion=False)
    given = {"user_id": host_id, "gift_id": page["results"][0]["id"], "num": 9}
    (await rich.get("qlive_gift/push_gift/", **given)).ok()
    for window in (host, man):
        await expect(window.feed).to_contain_text("有钱人 送给 hongniang1")
    assert await host.page.evaluate("window.flown") == 9
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
