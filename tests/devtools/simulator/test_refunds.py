"""The simulated refunds of both providers, through the clients of the server."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from devtools.simulator.simulator import Simulator
from devtools.simulator.wechat import openid_of
from devtools.simulator.wire import SimulatorReply, SimulatorRequest
from ledger.recharge import Order, Refund
from tencent.errors import MerchantRefused, ServiceUnavailable
from tencent.message_push import MessagePushReader
from tencent.pay import JsapiClient
from tencent.xpay import XpayClient, parse_event
from tests.support.tencent import Clock, ScriptedService, Serve

both = pytest.mark.parametrize("provider", ["jsapi", "xpay"])

APP = "wxd678efh567hg6787"
NUMBER = "R20231115000000abc"
EXPIRES_AT = datetime.fromtimestamp(1_700_007_200, UTC)


class Shop:
    """A paid order of 600 fen, the client that refunds it, and the notifications that arrive."""

    def __init__(self, simulator: Simulator, client: JsapiClient | XpayClient, order: Order):
        self.simulator = simulator
        self.client = client
        self.order = order
        self.receiver = ScriptedService(SimulatorReply(204, {}, b""))

    async def refund(self, fen: int = 600, number: str = NUMBER) -> str:
        return await self.client.refund(self.order, number, fen, "孩子误充值")

    async def state(self, number: str = NUMBER) -> str | None:
        return await self.client.refund_state(self.order, number)

    async def call(self, path: str, **params: Any) -> dict[str, Any]:
        method, body = ("POST", json.dumps(params).encode()) if params else ("GET", b"")
        request = SimulatorRequest(method, f"/refund/{path}", {}, {}, body)
        answer: dict[str, Any] = json.loads((await self.simulator.answer(request)).body)
        return answer

    async def notices(self, now: float) -> list[Any]:
        """Each a Refund, None for one of no effect, or the reason of a refusal."""
        await self.simulator.delivery.quiet()
        return [self._read(request, now) for request in self.receiver.requests]

    def _read(self, request: SimulatorRequest, now: float) -> Any:
        if isinstance(self.client, JsapiClient):
            notice = self.client.notifications.read(request.headers, request.body, now)
            return notice.refused or notice.event
        push = MessagePushReader("push-token", "A" * 43, APP).open(request.query, request.body, now)
        return push.refused or parse_event(push.content)


@pytest.fixture
def open_shop(
    simulator: Simulator,
    sim_url: str,
    serve: Serve,
    pay_at: Callable[..., JsapiClient],
    build_xpay: Callable[..., XpayClient],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Any]:
    monkeypatch.setattr("devtools.simulator.refunds.REFUND_SECONDS", 0)
    monkeypatch.setattr("devtools.simulator.notifications.LATE_SECONDS", 0)

    async def build(provider: str) -> Shop:
        order = Order("Q1234567", "1", provider, APP, openid_of("alice"), "gold_60", 600, 60)
        shop = Shop(simulator, build_xpay(sim_url), order)
        url = serve(shop.receiver)
        if isinstance(shop.client, XpayClient) and provider == "xpay":
            simulator.pushes.address = url
            key = simulator.wechat.issue(APP, "alice").session_key
            assert isinstance(simulator.xpay.buy(shop.client.payment_call(order, "", key)), dict)
        else:
            shop.client = pay_at(sim_url, notify_url=url)
            await shop.client.register(order, EXPIRES_AT)
            assert simulator.pay.take(order.number)
        return shop

    return build


@both
async def test_refund_is_done_a_moment_later_and_notified(
    open_shop: Any, clock: Clock, provider: str
) -> None:
    shop = await open_shop(provider)
    assert await shop.state() is None
    assert await shop.refund() == "pending"
    (notice,) = await shop.notices(clock())
    refund = shop.simulator.refunds.refunds[NUMBER]
    assert notice == Refund(provider, shop.order.number, refund.wechat_number, 600, own=NUMBER)
    assert await shop.refund() == "done" == await shop.state()
    assert len(await shop.notices(clock())) == 1
    assert await shop.client.query(shop.order)  # paid, though refunded
    assert (await shop.call("list"))["items"] == [
        {
            "number": NUMBER,
            "provider": provider,
            "order": shop.order.number,
            "fen": 600,
            "state": "done",
        }
    ]


@both
async def test_no_more_is_refunded_than_was_paid(open_shop: Any, provider: str) -> None:
    shop = await open_shop(provider)
    await shop.refund(400)
    with pytest.raises(MerchantRefused):
        await shop.refund(201, f"{NUMBER}1")
    await shop.refund(200, f"{NUMBER}2")
    await shop.simulator.delivery.quiet()
    assert await shop.state(f"{NUMBER}2") == "done"


@both
async def test_held_refund_ends_on_demand_and_is_notified_again(
    open_shop: Any, clock: Clock, provider: str
) -> None:
    shop = await open_shop(provider)
    await shop.call("next", outcome="held")
    await shop.refund()
    assert await shop.notices(clock()) == []
    assert await shop.state() == "pending"
    await shop.call("end", refund=NUMBER, report="twice")
    await shop.call("end", refund=NUMBER)
    notices = await shop.notices(clock())
    assert len(notices) == 3
    assert len(set(notices)) == 1
    assert await shop.state() == "done"
    assert "detail" in await shop.call("end", refund="R2")


@both
async def test_failed_refund_returns_no_money_and_may_be_tried_under_another_number(
    open_shop: Any, clock: Clock, provider: str
) -> None:
    shop = await open_shop(provider)
    await shop.call("next", outcome="failed")
    await shop.refund()
    assert await shop.notices(clock()) == [None]
    await shop.call("end", refund=NUMBER, outcome="success")
    assert await shop.state() == "failed"
    await shop.call("next", outcome="success")
    await shop.refund(number=f"{NUMBER}2")
    await shop.simulator.delivery.quiet()
    assert await shop.state(f"{NUMBER}2") == "done"


@both
async def test_refund_is_refused_without_money_and_taken_without_an_answer(
    open_shop: Any, provider: str
) -> None:
    shop = await open_shop(provider)
    await shop.call("next", fault="NOT_ENOUGH")
    with pytest.raises(MerchantRefused):
        await shop.refund()
    assert await shop.state() is None
    await shop.call("next", fault="lost", outcome="held")
    if provider == "xpay":
        with pytest.raises(ServiceUnavailable):
            await shop.refund()
    assert await shop.refund() == "pending"  # WeChat Pay's client has repeated it by itself
    assert len(shop.simulator.refunds.refunds) == 1


@both
@pytest.mark.parametrize("mode", ["forged", "stale", "never", "wrong_amount"])
async def test_notification_comes_as_the_mode_says(
    open_shop: Any, clock: Clock, provider: str, mode: str
) -> None:
    shop = await open_shop(provider)
    await shop.call("next", report=mode)
    await shop.refund(300)
    notices = await shop.notices(clock())
    if mode == "wrong_amount":
        assert [notice.fen for notice in notices] == [301]
    else:
        expected = {"forged": ["sign"], "stale": ["stale"], "never": []}
        assert notices == expected[mode]


@pytest.mark.parametrize(
    "params", [{"outcome": "perhaps"}, {"report": "loudly"}, {"fault": "fire"}]
)
async def test_unknown_words_are_refused(open_shop: Any, params: dict[str, Any]) -> None:
    shop = await open_shop("jsapi")
    assert "detail" in await shop.call("next", **params)


async def test_changed_refund_of_the_same_number_is_refused(open_shop: Any) -> None:
    shop = await open_shop("jsapi")
    await shop.refund(300)
    with pytest.raises(MerchantRefused, match="INVALID_REQUEST"):
        await shop.refund(301)


async def test_invalid_refunds_are_refused(open_shop: Any) -> None:
    shop = await open_shop("jsapi")
    for fen, number in ((0, NUMBER), (300, "short"), (300, "with space")):
        with pytest.raises(MerchantRefused, match="PARAM_ERROR"):
            await shop.refund(fen, number)
    unknown = Order("Q7654321", "1", "jsapi", APP, "o", "", 600, 60)
    with pytest.raises(MerchantRefused, match="RESOURCE_NOT_EXISTS"):
        await shop.client.refund(unknown, NUMBER, 300, "")
    virtual = await open_shop("xpay")
    for fen, number in ((300, "short"), (0, NUMBER)):
        with pytest.raises(MerchantRefused):
            await virtual.refund(fen, number)
