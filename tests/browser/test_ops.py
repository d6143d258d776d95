"""The operators' console, used as an operator uses it."""

import asyncio
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.async_api import Browser, Locator, Page, Request, ViewportSize, expect
from pymongo import MongoClient
from pymongo.database import Database
from tornado.ioloop import IOLoop

from rooms.events import VOCABULARY
from server import Server
from tests.browser.conftest import axe_violations, shoot
from tests.phones import Phone, Street

pytestmark = pytest.mark.programs

PAGES = [
    "overview",
    "rooms",
    "people",
    "gifts",
    "blocks",
    "configs",
    "orders",
    "ledger",
    "inbox",
    "audit",
]

WIDE: ViewportSize = {"width": 1280, "height": 800}
REASONS = {
    "micro_refuse": ["refused", "withdrawn", "expired", "host", "left", "offline", "banned"],
    "micro_leave": ["left", "host", "offline", "banned"],
    "live_end": ["host", "operator", "offline", "banned"],
}


class Console:
    """One window of one operator, and what it asked for and complained of."""

    def __init__(self, page: Page, server: Server) -> None:
        self.page = page
        self.address = server.address
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self._token = server.settings.ops.token
        page.on("request", self._note)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self._hear(said.type, said.text))

    def _note(self, request: Request) -> None:
        self.asked.append(request.url)

    def _hear(self, kind: str, text: str) -> None:
        if kind == "error" and "status of 4" not in text:  # a refusal is an answer
            self.complaints.append(text)

    async def come(self) -> "Console":
        """By the door, to the overview."""
        await self.page.goto(f"{self.address}/ops/")
        await self.come_in(self._token)
        await expect(self.heading).to_have_text("概览")
        return self

    async def open(self, where: str) -> None:
        """Straight to a page, as a tab that has been at the door before."""
        kept = f"sessionStorage.setItem('qlive.ops.token', '{self._token}')"
        await self.page.add_init_script(f"if (location.host) {kept}")
        await self.page.goto(f"{self.address}/ops/#/{where}")
        await self._at(where)

    async def come_in(self, token: str) -> None:
        await self.page.get_by_label("运营令牌").fill(token)
        await self.page.get_by_role("button", name="登录").click()

    async def go(self, where: str) -> None:
        await self.page.evaluate("where => { location.hash = `#/${where}` }", where)
        await self._at(where)

    async def _at(self, where: str) -> None:
        await expect(self.page.locator(".page")).to_have_class(re.compile(where.partition("/")[0]))

    async def looks(self, path: str, count: int) -> None:
        """Lets a page that asks every second ask so often; its clock has to be installed."""
        for _ in range(count):
            async with self.page.expect_response(lambda answer: path in answer.url):
                await self.page.clock.run_for(1_000)

    @property
    def heading(self) -> Locator:
        return self.page.get_by_role("heading", level=1)

    @property
    def dialog(self) -> Locator:
        return self.page.get_by_role("dialog")

    @property
    def said(self) -> Locator:
        return self.page.locator("#said")

    def row(self, text: str) -> Locator:
        return self.page.get_by_role("row").filter(has_text=text)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    async def answer(self, yes: str, **fields: str) -> None:
        """Fill in what the dialog asks for, by label, and agree."""
        for label, text in fields.items():
            await self.dialog.get_by_label(label).fill(text)
        await self.dialog.get_by_role("button", name=yes, exact=True).click()

    async def done(self, words: str) -> None:
        """The dialog is gone and the console has said so."""
        await expect(self.said).to_contain_text(words)
        await expect(self.dialog).to_have_count(0)


@pytest.fixture
def console(io_loop: IOLoop, browser: Browser, server: Server) -> Iterator[Console]:
    """A window at 1280 pixels; it must ask nobody but the server, and complain of nothing."""
    context = io_loop.run_sync(lambda: browser.new_context(viewport=WIDE, reduced_motion="reduce"))
    console = Console(io_loop.run_sync(context.new_page), server)
    yield console
    io_loop.run_sync(context.close)
    assert {url for url in console.asked if not url.startswith(f"{server.address}/")} == set()
    assert console.complaints == []


@pytest.fixture
def db(server: Server) -> Iterator[Database[dict[str, Any]]]:
    """What is stored, past the server."""
    mongodb = server.settings.mongodb
    with MongoClient[dict[str, Any]](mongodb.uri, tz_aware=True) as client:
        yield client[mongodb.database]


async def show(street: Street) -> tuple[Phone, Phone, Phone]:
    """A live room with its host, a woman on mic and a man in the queue."""
    host = await street.host("红娘小美")
    anna = await street.guest("安娜", 2, host.live_id)
    bert = await street.guest("伯特", 1, host.live_id)
    (await anna.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    (await anna.post("qlive_room/accept_micro/", live_id=host.live_id)).ok()
    (await bert.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    for phone in (host, anna, bert):
        await phone.connect()
    return host, anna, bert


# ---- the door


@pytest.mark.gen_test(timeout=60)
async def test_only_the_token_opens_the_console_and_it_lasts_as_long_as_the_tab(
    console: Console,
) -> None:
    page = console.page
    await page.goto(f"{console.address}/ops")
    await expect(page).to_have_url(f"{console.address}/ops/")
    await expect(page.get_by_label("运营令牌")).to_be_focused()
    for wrong in ("wrong", "не тот"):
        await console.come_in(wrong)
        await expect(page.get_by_role("alert")).to_have_text("令牌不对，请核对后重试。")
    await shoot(page, "ops-door")
    await console.come()
    await page.reload()
    await expect(console.heading).to_have_text("概览")
    await console.button("退出").click()
    await page.reload()
    await expect(page.get_by_label("运营令牌")).to_be_visible()
    other = await page.context.new_page()
    await other.goto(f"{console.address}/ops/")
    await expect(other.get_by_label("运营令牌")).to_be_visible()


@pytest.mark.gen_test(timeout=60)
async def test_a_token_that_is_no_longer_right_leads_back_to_the_door(console: Console) -> None:
    await console.come()
    await console.page.evaluate("sessionStorage.setItem('qlive.ops.token', 'old')")
    await console.page.get_by_role("link", name="礼物").click()
    await expect(console.page.get_by_role("alert")).to_have_text("令牌不对，请核对后重试。")


@pytest.mark.gen_test(timeout=30)
async def test_the_console_runs_nothing_but_its_own_files(street: Street) -> None:
    for path in ("/ops/", "/ops/index.html", "/ops/app.js"):
        answer = await street.ask("GET", path)
        assert answer.status == 200
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
    page = (await street.ask("GET", "/ops/")).text
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|<style|\sstyle=", page)
    for path in ("/ops/nothing.js", "/ops/api/nothing", "/ops/api", "/ops/..%2f..%2fserver.py"):
        assert (await street.ask("GET", path)).refusal == (404, "no_such_thing"), path
    assert (await street.ask("GET", "/ops/api/overview")).refusal == (401, "ops_token")


# ---- how the night goes


@pytest.mark.gen_test(timeout=60)
async def test_the_overview_shows_every_state_and_draws_what_is_measured(
    console: Console, street: Street, db: Any
) -> None:
    await show(street)
    await street.ask("POST", "/wx/api/qlive/qlive_pay/notify/", data="forged")
    page = console.page
    await page.clock.install()
    await console.come()
    await expect(page.locator(".tile").filter(has_text="服务状态")).to_contain_text("正常")
    await expect(page.locator(".tile").filter(has_text="正在直播")).to_contain_text("房内 3 人")
    await expect(console.row("MongoDB")).to_contain_text(re.compile(r"正常.*ms"))
    await expect(console.row("剩余")).to_have_count(1)
    (process,) = [row["_id"] for row in db.processes.find()]
    await expect(console.row("剩余")).to_contain_text(process)
    await expect(page.locator(".facts")).to_contain_text(re.compile("账本核对.*最久未支付订单"))
    await expect(console.row("微信支付")).to_contain_text(re.compile(r"\d"))
    sockets = page.locator("figure").filter(has_text="在线连接")
    await expect(sockets.locator("b")).to_have_text("3")
    requests = page.locator("figure").filter(has=page.get_by_text("请求", exact=True))
    await page.clock.run_for(5_000)
    await expect(requests.locator("b")).to_have_text(re.compile(r"^[0-9.]+$"), timeout=12_000)
    await expect(requests.locator("path.line")).to_have_attribute("d", re.compile(r"^M.*"))
    await shoot(page, "ops-overview", whole=True)
    await console.button("English").click()
    await expect(console.heading).to_have_text("Overview")
    await expect(page.locator("html")).to_have_attribute("lang", "en")
    await page.reload()
    await expect(console.heading).to_have_text("Overview")
    await page.emulate_media(color_scheme="dark")
    await expect(sockets).to_have_count(0)
    await shoot(page, "ops-overview-dark", whole=True)


@pytest.mark.gen_test(timeout=60)
async def test_charts_go_on_after_a_reload_and_gold_is_drawn_whatever_page_is_open(
    console: Console, street: Street
) -> None:
    page = console.page
    await page.clock.install()
    await console.come()
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
        line = page.locator("figure").filter(has_text=title).locator("path.line").first
        await expect(line).to_have_attribute("d", re.compile("L.*L"))
    assert await page.evaluate(count, "samples") >= before
    script = """async () => {
        const { remember, recall } = await import('/ops/metrics.js');
        const now = Date.now();
        remember('x', Array.from({ length: 1000 }, (_, n) => ({ at: now - (999 - n) * 5000 })));
        const kept = recall('x').length;
        sessionStorage.setItem('x', '{');
        return [kept, recall('x').length];
    }"""
    kept, broken = await page.evaluate(script)
    assert (350 < kept <= 361, broken) == (True, 0)


@pytest.mark.gen_test(timeout=60)
async def test_percentiles_and_rates_are_those_between_two_looks(console: Console) -> None:
    await console.page.goto(f"{console.address}/ops/")
    script = """async ([one, two]) => {
        const { look, between, together } = await import('/ops/metrics.js');
        const sample = between(look(one, 0), look(two, 10_000));
        return [sample, together([sample, { ...sample, lag: 9 }], 10_000)];
    }"""
    head = "# HELP x\nqlive_process_id 7.0\nqlive_sockets 5.0\nqlive_loop_lag_seconds 0.002\n"
    one = head + 'qlive_requests_total{route="A",status="200"} 10\n'
    two = (
        head + 'qlive_requests_total{route="A",status="200"} 40\n'
        'qlive_requests_total{route="B",status="503"} 20\n'
        'qlive_request_seconds_bucket{le="0.1",route="A"} 50\n'
        'qlive_request_seconds_bucket{le="0.2",route="A"} 100\n'
        'qlive_request_seconds_bucket{le="+Inf",route="A"} 100\n'
    )
    sample, both = await console.page.evaluate(script, [one, two])
    assert (sample["requests"], sample["failed"], sample["refused"]) == (5, 2, 0)
    assert (sample["sockets"], sample["lag"], sample["told"]) == (5, 2, None)
    assert sample["took"] == pytest.approx(198)
    assert (both["sockets"], both["requests"], both["lag"]) == (10, 10, 9)


# ---- rooms


@pytest.mark.gen_test(timeout=60)
async def test_a_room_is_watched_as_it_happens_and_ended_after_one_question(
    console: Console, street: Street
) -> None:
    host, anna, bert = await show(street)
    await console.open("rooms")
    row = console.row("红娘小美")
    await expect(row).to_contain_text("直播中")
    await expect(row).to_contain_text("安娜")
    await shoot(console.page, "ops-rooms")
    await console.page.get_by_role("searchbox").fill("伊万")
    await expect(row).to_have_count(0)
    await console.page.get_by_role("searchbox").fill(anna.id)
    await row.get_by_role("link", name="进入").click()

    page = console.page
    await expect(page.locator(".seat").filter(has_text="女嘉宾")).to_contain_text("安娜")
    await expect(page.locator(".seat").filter(has_text="男嘉宾")).to_contain_text("空位")
    queue = page.get_by_role("table", name="上麦队列")
    await expect(queue.get_by_role("row").filter(has_text="伯特")).to_contain_text("申请")
    (await bert.post("qlive_room/accept_micro/", live_id=host.live_id)).ok()
    log = page.get_by_role("list", name="刚刚发生")
    await expect(log).to_contain_text("伯特 上麦（男嘉宾）")
    await expect(page.locator(".queue")).to_contain_text("没有人申请或受邀")
    (await anna.get("qlive_room/leave_micro/", live_id=host.live_id)).ok()
    await expect(log).to_contain_text("安娜 下麦（女嘉宾）")
    await shoot(page, "ops-room")

    await console.button("结束直播").click()
    await expect(console.dialog).to_contain_text("房内 3 人会立即收到")
    await console.dialog.get_by_role("button", name="结束直播").click()
    await expect(console.dialog).to_contain_text("必填")
    await shoot(page, "ops-end")
    await console.answer("结束直播", 原因="有人投诉")
    await console.done("的直播已结束")
    await expect(page.locator(".room-head")).to_contain_text("已结束")
    await expect(console.button("结束直播")).to_have_count(0)
    assert (await street.ops("GET", "rooms")).ok()["items"] == []


@pytest.mark.gen_test(timeout=60)
async def test_whoever_is_at_a_button_of_a_room_keeps_it_while_the_room_goes_on(
    console: Console, street: Street
) -> None:
    host, anna, _ = await show(street)
    await console.page.clock.install()
    await console.open(f"rooms/{host.live_id}")
    shut = console.page.locator(".seat").filter(has_text=anna.id).get_by_role("button", name="封禁")
    await shut.focus()
    await street.guest("卡尔", 1, host.live_id)
    await expect(console.page.locator(".counts")).to_contain_text("4")
    await console.looks(f"/rooms/{host.live_id}?", 2)
    await expect(shut).to_be_focused()
    box = await shut.bounding_box()
    assert box
    await console.page.mouse.move(box["x"] + 4, box["y"] + 4)
    await console.page.mouse.down()
    await console.looks(f"/rooms/{host.live_id}?", 2)
    await console.page.mouse.up()
    await expect(console.dialog).to_contain_text("立即生效")
    await console.page.keyboard.press("Escape")
    await expect(shut).to_be_focused()


@pytest.mark.gen_test(timeout=60)
async def test_a_look_inside_tells_what_has_happened_and_what_comes_and_goes_between_two_looks(
    console: Console, street: Street
) -> None:
    host, anna, bert = await show(street)
    room = {"live_id": host.live_id}
    given = {"gold": 100, "reason": "x", "request_id": "x"}
    (await street.ops("POST", f"users/{bert.id}/grant", **given)).ok()
    await console.open(f"rooms/{host.live_id}")
    log = console.page.get_by_role("list", name="刚刚发生").get_by_role("listitem")
    await expect(log).to_have_text(
        [
            re.compile(f"{words}$")
            for words in (
                "伯特 申请上麦（男嘉宾）",
                "安娜 上麦（女嘉宾）",
                "安娜 申请上麦（女嘉宾）",
            )
        ]
    )
    (await bert.post("qlive_room/accept_micro/", **room)).ok()
    (await bert.get("qlive_room/leave_micro/", **room)).ok()
    (await bert.post("qlive_room/apply_micro/", **room)).ok()
    (await bert.post("qlive_room/refuse_micro/", **room)).ok()
    rose = {"user_id": anna.id, "gift_id": 1, "num": 3, "request_id": "r"}
    (await bert.get("qlive_gift/push_gift/", **rose)).ok()
    (await street.ops("POST", f"rooms/{host.live_id}/end", reason="x")).ok()
    for words in (
        "伯特 上麦（男嘉宾）",
        "伯特 下麦（男嘉宾）：自己离开",
        "伯特 离开队列：取消了申请",
        "伯特 送给 安娜：玫瑰 × 3（3 金币）",
        "直播结束：运营结束",
    ):
        await expect(log.filter(has_text=words)).to_have_count(1)
    await console.page.reload()
    await expect(log.first).to_contain_text("直播结束：运营结束")


@pytest.mark.gen_test(timeout=60)
async def test_every_word_of_a_room_has_a_sentence_in_both_languages(console: Console) -> None:
    await console.page.goto(f"{console.address}/ops/")
    face = {"user_id": "1", "nickname": "安娜", "face_url": "", "gender": 2}
    gift = {"from": face, "to": face, "gift": {"name": "玫瑰"}, "num": 1, "gold": 1}
    told = [
        {"type": kind, "data": gift if kind == "gift" else {**face, "reason": reason}}
        for kind in VOCABULARY
        for reason in REASONS.get(kind, [""])
    ]
    script = """async told => {
        const { sentence } = await import('/ops/happenings.js');
        const { speak } = await import('/ops/i18n.js');
        const said = [];
        for (const language of ['en', 'zh']) {
            speak(language);
            said.push(told.map(sentence));
        }
        return said;
    }"""
    english, chinese = await console.page.evaluate(script, told)
    for one, other, event in zip(english, chinese, told, strict=True):
        assert one != other
        assert not re.search(r"_|undefined|新事件", one + other), event
        reason = event["data"].get("reason")
        assert not reason or not one.endswith(f": {reason}"), event


@pytest.mark.gen_test(timeout=60)
async def test_somebody_is_put_out_of_one_room_and_let_in_again(
    console: Console, street: Street
) -> None:
    host, anna, _ = await show(street)
    await console.open(f"rooms/{host.live_id}")
    page = console.page
    inside = page.get_by_role("region", name="房内的人")
    row = inside.get_by_role("row").filter(has_text=anna.id)
    await expect(row).to_contain_text("女嘉宾")
    await expect(inside.get_by_role("row").filter(has_text=host.id)).to_contain_text("红娘")
    await page.get_by_role("searchbox").fill("安")
    await expect(inside.get_by_role("row")).to_have_count(2)
    await row.get_by_role("button", name="请出房间").click()
    await expect(console.dialog).to_contain_text("其他直播间不受影响")
    await console.answer("请出房间", 多少分钟内不能回来="30", 原因="辱骂他人")
    await console.done("“安娜”已被请出")
    await expect(row).to_have_count(0)
    out = page.get_by_role("table", name="被请出的人")
    await expect(out.get_by_role("row").filter(has_text=anna.id)).to_have_count(1)
    await expect(page.locator(".seat.free")).to_have_count(2)
    await shoot(page, "ops-put-out")
    path = f"get_playurl/?live_id={host.live_id}"
    assert (await anna.get(path)).refusal == (403, "put_out")

    await out.get_by_role("button", name="允许回来").click()
    await console.answer("允许回来", 原因="已道歉")
    await console.done("“安娜”可以回来了")
    await expect(page.get_by_text("没有人被请出")).to_be_visible()
    (await anna.get(path)).ok()


# ---- people


@pytest.mark.gen_test(timeout=60)
async def test_somebody_is_banned_with_a_reason_and_let_in_again(
    console: Console, street: Street
) -> None:
    host, anna, _ = await show(street)
    await console.open("people")
    await console.page.get_by_role("searchbox").fill("安娜")
    row = console.row(anna.id)
    await expect(console.page.get_by_role("row")).to_have_count(2)
    await row.get_by_role("button", name="封禁").click()
    await expect(console.dialog).to_contain_text("立即生效")
    await shoot(console.page, "ops-ban")
    await console.answer("封禁", 原因="辱骂他人")
    await console.done("“安娜”已封禁")
    await expect(row).to_contain_text("已封禁")
    path = f"get_playurl/?live_id={host.live_id}"
    assert (await anna.get(path)).refusal == (403, "banned")

    await row.get_by_role("link", name="查看").click()
    await expect(console.page.locator(".person-head")).to_contain_text("原因：辱骂他人")
    await console.button("解封").click()
    await expect(console.dialog).to_contain_text("封禁原因：辱骂他人")
    await console.answer("解封")
    await console.done("“安娜”已解封")
    await expect(console.page.locator(".person-head")).not_to_contain_text("封禁，原因")
    (await anna.get(path)).ok()


@pytest.mark.gen_test(timeout=60)
async def test_gold_is_granted_once_and_taken_back_and_stands_in_the_persons_ledger(
    console: Console, street: Street
) -> None:
    anna = await street.person("安娜", 2)
    await console.open(f"people/{anna.id}")
    await console.button("发放金币").click()
    for wrong, words in (("", "必填"), ("1.5", "整数"), ("0", "1 和 1,000,000,000")):
        await console.answer("发放", 金币=wrong, 原因="生日")
        await expect(console.dialog.locator(".field").first).to_contain_text(words)
    await console.answer("发放", 金币="520")
    await console.done("已发放 520 金币")
    row = console.row("grant:")
    await expect(row).to_contain_text("+520")
    await expect(row).to_contain_text("生日")
    head = console.page.locator(".person-head")
    await expect(head).to_contain_text(re.compile(r"金币\s*520"))
    await shoot(console.page, "ops-person")
    await row.get_by_role("button", name="冲正").click()
    await expect(console.dialog).to_contain_text("-520 金币")
    await console.answer("冲正", 原因="发错了人")
    await console.done("已冲正")
    await expect(console.row("发错了人")).to_contain_text("−520")
    await expect(head).to_contain_text(re.compile(r"金币\s*0"))


@pytest.mark.gen_test(timeout=60)
async def test_a_grant_that_is_refused_is_said_in_the_dialog_and_sent_again_as_the_same(
    console: Console, street: Street
) -> None:
    anna = await street.person("安娜", 2)
    await console.open(f"people/{anna.id}")
    sent: list[Any] = []

    async def lose(route: Any) -> None:
        """The grant is carried out, and its answer lost on the way."""
        sent.append(json.loads(route.request.post_data))
        answer = await route.fetch()
        await (route.abort() if len(sent) == 1 else route.fulfill(response=answer))

    await console.page.route("**/grant", lose)
    await console.button("发放金币").click()
    await console.answer("发放", 金币="7", 原因="补偿")
    await expect(console.dialog.get_by_role("alert")).to_have_text("服务器没有回应，请检查网络。")
    await console.answer("发放")
    await console.done("现有 7")
    assert sent[0] == sent[1]
    console.complaints.clear()  # the browser's own, of the lost answer


@pytest.mark.gen_test(timeout=60)
async def test_a_debt_is_settled_and_a_name_full_of_markup_is_only_a_name(
    console: Console, street: Street, db: Any
) -> None:
    anna, _ = await street.person("anna", 2), await street.person("bert", 1)
    name = "<img src=x onerror=alert(1)>"
    db.users.update_one({"_id": anna.id}, {"$set": {"owed": 30, "nickname": name}})
    await console.open("people")
    await expect(console.page.get_by_role("row")).to_have_count(3)
    await console.page.get_by_label("只看欠款").check()
    await expect(console.page.get_by_role("row")).to_have_count(2)
    await expect(console.row(anna.id)).to_contain_text(name)
    await console.row(anna.id).get_by_role("link", name="查看").click()
    await console.button("结清欠款").click()
    await console.dialog.get_by_label("由谁承担").select_option("house")
    await console.answer("结清", 原因="找不到人了")
    await console.done("已结清 30 金币")
    await expect(console.button("结清欠款")).to_have_count(0)


@pytest.mark.gen_test(timeout=60)
async def test_nothing_closes_a_dialog_while_what_it_asked_for_is_under_way(
    console: Console, street: Street
) -> None:
    anna = await street.person("安娜", 2)
    await console.open(f"people/{anna.id}")
    may_go = asyncio.Event()

    async def slowly(route: Any) -> None:
        if route.request.method == "PATCH":
            await may_go.wait()
        await route.continue_()

    await console.page.route(f"**/users/{anna.id}", slowly)
    await console.button("封禁").click()
    await console.answer("封禁", 原因="辱骂他人")
    for _ in range(3):
        await console.page.keyboard.press("Escape")
    await expect(console.dialog).to_be_visible()
    await expect(console.dialog.get_by_role("button", name="取消")).to_be_disabled()
    may_go.set()
    await console.done("“安娜”已封禁")
    await expect(console.button("解封")).to_be_visible()


@pytest.mark.gen_test(timeout=60)
async def test_what_was_perhaps_done_is_looked_at_again(console: Console, street: Street) -> None:
    anna = await street.person("安娜", 2)
    await console.open(f"people/{anna.id}")

    async def lose(route: Any) -> None:
        if route.request.method == "PATCH":
            await route.fetch()
            await route.abort()
        else:
            await route.continue_()

    await console.page.route(f"**/users/{anna.id}", lose)
    await console.button("封禁").click()
    await console.answer("封禁", 原因="辱骂他人")
    await expect(console.dialog.get_by_role("alert")).to_have_text("服务器没有回应，请检查网络。")
    await console.page.keyboard.press("Escape")
    await expect(console.button("解封")).to_be_visible()
    console.complaints.clear()  # the browser's own, of the lost answer


# ---- what is put up


@pytest.mark.gen_test(timeout=60)
async def test_a_gift_is_put_up_with_its_image_edited_and_taken_away(
    console: Console, street: Street
) -> None:
    await console.open("gifts")
    await shoot(console.page, "ops-gifts")
    await console.button("添加礼物").click()
    image = f"{console.address}/static/gifts/rose.svg"
    preview = console.dialog.locator(".preview")
    await console.dialog.get_by_label("图片地址").fill("ftp://x")
    await expect(preview).to_have_text("没有图片")
    await console.dialog.get_by_label("图片地址").fill(image)
    await expect(preview.locator("img")).to_have_js_property("complete", True)
    assert await preview.locator("img").evaluate("image => image.naturalWidth") > 0
    await console.answer("添加", 名称="满天星", 价格="-3")
    price = console.dialog.get_by_label("价格")
    await expect(price).to_have_attribute("aria-invalid", "true")
    await expect(price).to_be_focused()
    await expect(console.dialog).to_contain_text("请填写整数，不带小数和符号")
    await shoot(console.page, "ops-gift-form")
    await console.answer("添加", 价格="66")
    await console.done("“满天星”已保存")
    row = console.row("满天星")
    await expect(row).to_contain_text("66")
    await expect(row.locator("img")).to_have_attribute("src", image)

    await row.get_by_role("button", name="编辑").click()
    await console.answer("保存", 价格="99")
    await console.done("已保存")
    await expect(row).to_contain_text("99")
    await row.get_by_role("button", name="删除").click()
    await expect(console.dialog).to_contain_text("此后不能再送这个礼物")
    await console.answer("删除")
    await console.done("“满天星”已删除")
    await expect(row).to_have_count(0)
    names = [gift["name"] for gift in (await street.ops("GET", "gifts")).ok()["items"]]
    assert "满天星" not in names


@pytest.mark.gen_test(timeout=60)
async def test_a_bad_price_or_rate_is_refused_with_words_at_its_field(
    console: Console, street: Street
) -> None:
    await console.open("blocks")
    await console.button("添加档位").click()
    for wrong in ("six", "5.001", "0.00", "-1"):
        await console.answer("添加", 金币="50", 价格=wrong)
        field = console.dialog.locator(".field").filter(has_text="价格")
        await expect(field).to_contain_text("最多两位小数，如 6.00")
    await console.answer("添加", 价格="5.50")
    await console.done("已保存")
    await expect(console.row("¥5.50")).to_contain_text("9.09")

    await console.go("configs")
    row = console.row("EXCHANGE_RATE")
    await row.get_by_role("button", name="编辑").click()
    await expect(console.dialog).to_contain_text("影响之后的每一笔收益")
    value = console.dialog.locator(".field").filter(has_text="JSON")
    await console.answer("保存", 值="0,5")
    await expect(value).to_contain_text("这不是 JSON")
    await console.answer("保存", 值="1.5")  # only the server knows this one
    await expect(value).to_contain_text("比例是 0 到 1 之间的数")
    await shoot(console.page, "ops-config-form")
    await console.answer("保存", 值="0.25")
    await console.done("“EXCHANGE_RATE”已保存")
    await expect(row).to_contain_text("0.25")


# ---- money and the audit


@pytest.mark.gen_test(timeout=60)
async def test_orders_the_ledger_and_the_inbox_are_searched(
    console: Console, street: Street, server: Server
) -> None:
    anna, bert = await street.person("安娜", 2), await street.person("伯特", 1, gold=5)
    bought = (await anna.post("qlive_pay/", block_id=1)).ok()
    (await street.ask("POST", "/sim/phone/pay", json={"content": bought["content"]})).ok()
    assert server.parts.simulator
    await server.parts.simulator.payer.quiet()  # type: ignore[union-attr]
    (await bert.post("qlive_pay/", block_id=2)).ok()
    await console.come()
    page = console.page
    await console.go("orders")
    await expect(console.row("¥")).to_have_count(2)
    await page.get_by_label("状态").select_option("paid")
    await expect(console.row("¥")).to_have_count(1)
    await expect(console.row(anna.id)).to_contain_text("已支付")
    await shoot(page, "ops-orders")
    await page.get_by_role("searchbox").fill(bert.id)
    await expect(page.get_by_text("没有订单")).to_be_visible()

    await console.go("ledger")
    await expect(page.locator("tbody tr")).to_have_count(2)
    await page.get_by_label("类型").select_option("recharge")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await expect(page.locator("tbody tr")).to_contain_text(anna.id)
    await shoot(page, "ops-ledger")

    await console.go("inbox")
    row = page.locator("tbody tr")
    await expect(row).to_have_count(1)
    await expect(row).to_contain_text("已执行")
    await row.locator("summary").click()
    await expect(row.locator("pre").last).to_be_visible()
    await shoot(page, "ops-inbox")
    await row.get_by_role("button", name="重新执行").click()
    await expect(console.dialog).to_contain_text("不会重复到账")
    await console.answer("重新执行")
    await console.done("已执行")
    assert (await anna.get("qlive_user/get_userinfo/")).ok()["gold"] == 60


@pytest.mark.gen_test(timeout=60)
async def test_a_long_audit_is_paged_and_searched(console: Console, db: Any) -> None:
    entry = {"who": "ops@10.0.0.1", "on": "12345678", "asked": "{}", "done": True}
    rows = [
        {**entry, "what": "POST GrantGold", "reason": f"原因-{n:03}", "at": datetime.now(UTC)}
        for n in range(120)
    ]
    db.audit.insert_many(rows)
    await console.open("audit")
    page = console.page
    lines = page.locator("tbody tr")
    await expect(lines.first).to_contain_text("原因-119")
    await expect(lines.first).to_contain_text("发放金币")
    await shoot(page, "ops-audit")
    back, on = console.button("上一页"), console.button("下一页")
    await expect(back).to_be_disabled()
    seen = await lines.all_inner_texts()
    turned = 1
    while await on.is_enabled():
        await on.click()
        turned += 1
        await expect(page.get_by_role("status").first).to_contain_text(f"第 {turned} 页")
        seen += await lines.all_inner_texts()
    found = [number for line in seen for number in re.findall(r"原因-(\d{3})", line)]
    assert found == [f"{n:03}" for n in reversed(range(120))]
    assert turned >= 3
    await back.click()
    await expect(page.get_by_role("status").first).to_contain_text(f"第 {turned - 1} 页")
    await page.get_by_role("searchbox").fill("原因-007")
    await expect(lines).to_have_count(1)
    await page.get_by_role("searchbox").fill("")
    await page.get_by_label("只看改动").uncheck()
    await expect(lines.first).to_contain_text("看审计")


@pytest.mark.gen_test(timeout=60)
async def test_deeds_are_found_in_the_audit_by_the_words_it_shows(
    console: Console, street: Street
) -> None:
    anna = await street.person("安娜", 2, gold=5)
    (await street.ops("PATCH", f"users/{anna.id}", banned=True, ban_reason="x")).ok()
    await console.come()
    await console.go("audit")
    page = console.page
    lines = page.locator("tbody tr")
    await expect(lines).to_have_count(2)
    for words in ("发放金币", "grant gold"):
        await page.get_by_role("searchbox").fill(words)
        await expect(lines).to_have_count(1)
        await expect(lines).to_contain_text("发放金币")
        await page.get_by_role("searchbox").fill("")
        await expect(lines).to_have_count(2)
    await page.get_by_label("动作", exact=True).select_option("修改用户")
    await expect(lines).to_have_count(1)
    await expect(lines).to_contain_text("PATCH OneUser")
    await page.get_by_role("searchbox").fill("nothing like that")
    await expect(lines).to_contain_text("没有符合的记录")
    await page.get_by_role("searchbox").fill(anna.id)
    await expect(lines).to_contain_text("PATCH OneUser")
    await page.get_by_role("searchbox").fill("")
    await page.get_by_label("动作", exact=True).select_option("看概览")
    await expect(lines.first).to_contain_text("GET Overview")


@pytest.mark.gen_test(timeout=60)
async def test_money_is_found_by_what_people_copy_and_what_is_refused_leaves_nothing_standing(
    console: Console, street: Street, server: Server, db: Any
) -> None:
    anna, bert = await street.person("安娜", 2), await street.person("伯特", 1)
    for phone in (anna, bert):
        bought = (await phone.post("qlive_pay/", block_id=1)).ok()
        (await street.ask("POST", "/sim/phone/pay", json={"content": bought["content"]})).ok()
    await server.parts.simulator.payer.quiet()  # type: ignore[union-attr]
    order = db.orders.find_one({"user_id": anna.id})
    report = db.inbox.find_one({})
    await console.come()
    lines = console.page.locator("tbody tr")
    box = console.page.get_by_role("searchbox")
    for where, found in (
        ("orders", [order["_id"], order["transaction"], anna.id]),
        ("ledger", [order["_id"], f"recharge:{order['_id']}", anna.id]),
        ("inbox", [report["_id"], report["_id"][:-8]]),
    ):
        await console.go(where)
        await expect(lines).to_have_count(2)
        for said in found:
            await box.fill(said)
            await expect(lines).to_have_count(1)
            await expect(lines).to_contain_text(report["_id"] if where == "inbox" else order["_id"])
            await box.fill("")
            await expect(lines).to_have_count(2)
    await box.fill("x" * 401)
    await expect(lines).to_have_text(["有内容不符合要求。"])


LONG = {"people": "users", "orders": "orders", "ledger": "ledger", "inbox": "inbox"}


def fill_up(db: Any, name: str, count: int) -> set[str]:
    """So many rows of a list, and what stands in each of them."""
    now = datetime.now(UTC)
    ids = [f"{20_000_000 + n}" for n in range(count)]
    money = {"gold": 1, "income": 0, "owed": 0}
    rows: dict[str, dict[str, Any]] = {
        "people": {**money, "app_id": "a", "nickname": "人", "create_time": now},
        "orders": {"user_id": "1" * 8, "provider": "xpay", "product": "p", "fen": 1, "gold": 1}
        | {"state": "paid", "sandbox": False, "asked": 0, "created_at": now},
        "ledger": {"kind": "grant", "at": now, "by": "ops", "lines": [], "content": {}}
        | {"answer": {}, "note": ""},
        "inbox": {"source": "im", "query": "", "raw": "", "genuine": True, "outcome": "done"}
        | {"reason": "", "times": 1, "received_at": now},
    }
    db[LONG[name]].insert_many([{"_id": one, "openid": one, **rows[name]} for one in ids])
    return set(ids)


@pytest.mark.gen_test(timeout=60)
async def test_a_long_list_is_read_to_its_end_and_every_row_once(console: Console, db: Any) -> None:
    await console.come()
    page, on, status = console.page, console.button("下一页"), console.page.locator(".count")
    for name in LONG:
        wanted = fill_up(db, name, 120)
        await console.go(name)
        await expect(status).to_have_text("第 1 页，50 条")
        texts = await page.locator("tbody").all_inner_texts()
        turned = 1
        while await on.is_enabled():
            await on.click()
            turned += 1
            await expect(status).to_contain_text(f"第 {turned} 页")
            texts += await page.locator("tbody").all_inner_texts()
        seen = re.findall(r"\b20000\d{3}\b", " ".join(texts))
        assert len(seen) == 120, name
        assert set(seen) == wanted, name
        assert turned == 3, name


@pytest.mark.gen_test(timeout=60)
async def test_two_clicks_on_next_before_the_answer_turn_one_page(
    console: Console, db: Any
) -> None:
    fill_up(db, "orders", 120)
    await console.open("orders")
    on, status = console.button("下一页"), console.page.locator(".count")
    await expect(status).to_contain_text("第 1 页")
    await on.evaluate("button => { button.click(); button.click(); }")
    await expect(status).to_have_text("第 2 页，50 条")
    await on.click()
    await expect(status).to_have_text("第 3 页，20 条")
    await expect(console.button("上一页")).to_be_focused()


@pytest.mark.gen_test(timeout=60)
async def test_a_list_looks_again_while_somebody_types_but_not_under_somebodys_hand(
    console: Console, street: Street
) -> None:
    await street.host("红娘一")
    page = console.page
    await page.clock.install()
    await console.open("rooms")
    await expect(console.row("红娘一")).to_have_count(1)
    await page.get_by_role("searchbox").focus()
    await street.host("红娘二")
    await page.clock.run_for(6_000)
    await expect(console.row("红娘二")).to_have_count(1)
    end = console.row("红娘一").get_by_role("button", name="结束直播")
    await end.focus()
    await page.clock.run_for(12_000)
    await expect(end).to_be_focused()


@pytest.mark.gen_test(timeout=60)
async def test_search_and_page_are_still_there_on_the_way_back_from_a_person(
    console: Console, db: Any
) -> None:
    fill_up(db, "people", 120)
    await console.open("people")
    page, status = console.page, console.page.locator(".count")
    await page.get_by_role("searchbox").fill("20000")
    await expect(page).to_have_url(re.compile("#/people\\?q=20000$"))
    await expect(status).to_contain_text("第 1 页")
    await console.button("下一页").click()
    await expect(status).to_contain_text("第 2 页")
    for back in (page.go_back, page.get_by_role("link", name="← 用户").click):
        await console.row("20000060").get_by_role("link", name="查看").click()
        await expect(page.locator(".person-head")).to_contain_text("20000060")
        await back()
        await expect(page.get_by_role("searchbox")).to_have_value("20000")
        await expect(status).to_contain_text("第 2 页")
    await page.reload()
    await expect(status).to_contain_text("第 2 页")
    await page.get_by_role("link", name="用户", exact=True).click()
    await expect(page.get_by_role("searchbox")).to_have_value("")


# ---- for everybody


@pytest.mark.gen_test(timeout=120)
async def test_axe_finds_nothing_serious_on_any_page_in_light_and_dark(
    console: Console, street: Street
) -> None:
    host, anna, _ = await show(street)
    (await street.ops("PATCH", f"users/{anna.id}", banned=True, ban_reason="x")).ok()
    await console.page.goto(f"{console.address}/ops/")
    await look_over(console.page, "door")
    await console.come()
    for where in [*PAGES, f"rooms/{host.live_id}", f"people/{anna.id}"]:
        await console.go(where)
        await expect(console.page.locator(".page :is(td, dd)").first).to_be_visible()
        await look_over(console.page, where)
        wide = "document.documentElement.scrollWidth > innerWidth"
        assert not await console.page.evaluate(wide), where
    await console.button("解封").click()
    await look_over(console.page, "dialog")


@pytest.mark.gen_test(timeout=120)
async def test_every_page_fits_a_phone_of_360_pixels_in_both_languages(
    console: Console, street: Street, db: Any
) -> None:
    host, anna, bert = await show(street)
    for name in LONG:
        fill_up(db, name, 3)
    db.users.update_one({"_id": anna.id}, {"$set": {"gold": 888_888_888, "nickname": "安" * 20}})
    (await street.ops("PATCH", f"users/{bert.id}", banned=True, ban_reason="x")).ok()
    db.orders.update_one({}, {"$set": {"fen": 12_345_678_90, "paid_at": datetime.now(UTC)}})
    await console.page.set_viewport_size({"width": 360, "height": 740})
    await console.come()
    for language in ("zh", "en"):
        for where in [*PAGES, f"rooms/{host.live_id}", f"people/{anna.id}"]:
            await console.go(where)
            await expect(console.page.locator(".page :is(td, dd)").first).to_be_visible()
            shown = f"{where.partition('/')[0]}{'-one' if '/' in where else ''}"
            await shoot(console.page, f"ops-360-{language}-{shown}", whole=True)
            assert await console.page.evaluate(TOO_WIDE) == [], (where, language)
        if language == "zh":
            await console.button("English").click()


TOO_WIDE = """() => {
    const wide = [];
    const end = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth > innerWidth) wide.push('the page');
    const parts = '.tile, .card, .tile b, td.acts > *, h1, .facts dd';
    for (const node of document.querySelectorAll(parts)) {
        const { left, right, width } = node.getBoundingClientRect();
        const out = left < 0 || right > end;
        const cut = node.matches('.tile b') && node.scrollWidth > node.clientWidth;
        const thin = width < (node.matches('.tile') ? 120 : node.matches('dd') ? 70 : 0);
        if (out || cut || thin) wide.push(`${node.className} ${width} ${node.textContent}`);
    }
    return wide;
}"""


async def look_over(page: Page, where: str) -> None:
    """Looks at everything in light colours, and at the colours again in dark ones."""
    await page.emulate_media(color_scheme="light")
    assert await axe_violations(page) == [], f"{where} in light"
    await page.emulate_media(color_scheme="dark")
    assert await axe_violations(page, structure=False) == [], f"{where} in dark"


@pytest.mark.gen_test(timeout=60)
async def test_everything_is_reached_and_done_by_keyboard(console: Console, street: Street) -> None:
    anna, _ = await street.person("安娜", 2), await street.person("伯特", 1)
    page = console.page
    await page.goto(f"{console.address}/ops/")
    await page.keyboard.type(street._ops_token)
    await page.keyboard.press("Enter")
    await expect(console.heading).to_have_text("概览")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="跳到正文")).to_be_focused()
    people = page.get_by_role("link", name="用户")
    await press_until(page, "Tab", people)
    await page.keyboard.press("Enter")
    await expect(console.heading).to_have_text("用户")
    await expect(page.get_by_role("row")).to_have_count(3)
    search = page.get_by_role("searchbox")
    await press_until(page, "Tab", search)
    await page.keyboard.type(anna.id)
    await expect(page.get_by_role("row")).to_have_count(2)
    shut = console.row(anna.id).get_by_role("button", name="封禁")
    await press_until(page, "Tab", shut)
    await page.keyboard.press("Enter")
    await expect(console.dialog.get_by_label("原因")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(console.dialog).to_have_count(0)
    await expect(shut).to_be_focused()
    assert not (await street.ops("GET", f"users/{anna.id}")).ok()["banned"]
    await page.keyboard.press("Enter")
    await page.keyboard.type("辱骂")
    await press_until(page, "Tab", console.dialog.get_by_role("button", name="封禁"))
    await page.keyboard.press("Enter")
    await console.done("已封禁")
    assert (await street.ops("GET", f"users/{anna.id}")).ok()["ban_reason"] == "辱骂"


async def press_until(page: Page, key: str, wanted: Locator) -> None:
    for _ in range(60):
        await page.keyboard.press(key)
        if await wanted.evaluate("node => node === document.activeElement"):
            return
    pytest.fail(f"{key} never leads to {wanted}")
