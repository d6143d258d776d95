"""Rules of the simulated refunds, through the clients of the server."""

import json
from datetime import UTC, datetime

import pytest

from devtools.simulator.wechat import openid_of
from devtools.simulator.wire import SimulatorReply, SimulatorRequest
from ledger.recharge import Order
from tencent.errors import MerchantRefused
from tencent.message_push import MessagePushReader
from tencent.xpay import parse_event
from tests.support.tencent import ScriptedService

APP = "wxd678efh567hg6787"
NUMBER = "R20231115000000abc"
EXPIRES_AT = datetime.fromtimestamp(1_700_007_200, UTC)


class Shop:
    """A paid order of 600 fen, the client that refunds it, and the notifications that arrive."""

    def __init__(self, simulator, provider, client, receiver, clock):
        self.simulator, self.client, self.clock = simulator, client, clock
        self.order = Order("Q1234567", "1", provider, APP, openid_of("alice"), "gold_60", 600, 60)
        self._receiver = receiver

    async def refund(self, fen=600, number=NUMBER):
        return await self.client.refund(self.order, number, fen, "孩子误充值")

    async def state(self, number=NUMBER):
        return await self.client.refund_state(self.order, number)

    async def call(self, path, **params):
        body = json.dumps(params).encode()
        await self.simulator.answer(SimulatorRequest("POST", f"/refund/{path}", body=body))

    async def notifications(self):
        """Each a Refund, None for one of no effect, or the reason of a refusal."""
        await self.simulator.delivery.quiet()
        requests, now = self._receiver.requests, self.clock()
        if self.order.provider == "jsapi":
            read = self.client.notifications.read
            found = [read(request.headers, request.body, now) for request in requests]
            return [notification.refused or notification.event for notification in found]
        reader = MessagePushReader("push-token", "A" * 43, APP)
        pushes = [reader.open(request.query, request.body, now) for request in requests]
        return [push.refused or parse_event(push.content) for push in pushes]


@pytest.fixture
def open_shop(simulator, sim_url, serve, pay_at, build_xpay, clock, monkeypatch):
    monkeypatch.setattr("devtools.simulator.refunds.REFUND_SECONDS", 0)

    async def build(provider):
        receiver = ScriptedService(SimulatorReply(204, {}, b""))
        url = serve(receiver)
        client = build_xpay(sim_url) if provider == "xpay" else pay_at(sim_url, notify_url=url)
        shop = Shop(simulator, provider, client, receiver, clock)
        if provider == "xpay":
            simulator.pushes.address = url
            key = simulator.wechat.issue(APP, "alice").session_key
            assert isinstance(simulator.xpay.buy(client.payment_call(shop.order, "", key)), dict)
        else:
            await client.register(shop.order, EXPIRES_AT)
            assert simulator.pay.take(shop.order.number)
        return shop

    return build


@pytest.mark.parametrize("provider", ["jsapi", "xpay"])
async def test_failed_refund_may_be_tried_again_and_no_more_is_refunded_than_was_paid(
    open_shop, provider
):
    shop = await open_shop(provider)
    await shop.call("next", outcome="failed")
    await shop.refund()
    assert await shop.notifications() == [None]
    await shop.call("end", refund=NUMBER, outcome="success")
    assert len(await shop.notifications()) == 2
    assert await shop.state() == "failed"
    await shop.call("next", outcome="success", report="wrong_amount")
    await shop.refund(400, f"{NUMBER}2")
    assert [notification.fen for notification in (await shop.notifications())[2:]] == [401]
    if provider == "jsapi":
        with pytest.raises(MerchantRefused):
            await shop.refund(201, f"{NUMBER}3")
    # The client of virtual payment asks for no more than is left.
    await shop.refund(200 if provider == "jsapi" else 201, f"{NUMBER}4")
    await shop.simulator.delivery.quiet()
    assert await shop.state(f"{NUMBER}4") == "done"


async def test_changed_and_invalid_refunds_are_refused(open_shop):
    shop = await open_shop("jsapi")
    await shop.refund(300)
    for fen, number, code in (
        (301, NUMBER, "INVALID_REQUEST"),
        (0, f"{NUMBER}1", "PARAM_ERROR"),
        (300, "short", "PARAM_ERROR"),
    ):
        with pytest.raises(MerchantRefused, match=code):
            await shop.refund(fen, number)
    unknown = Order("Q7654321", "1", "jsapi", APP, "o", "", 600, 60)
    with pytest.raises(MerchantRefused, match="RESOURCE_NOT_EXISTS"):
        await shop.client.refund(unknown, f"{NUMBER}2", 300, "")
    virtual = await open_shop("xpay")
    for fen, number in ((300, "short"), (0, f"{NUMBER}3")):
        with pytest.raises(MerchantRefused):
            await virtual.refund(fen, number)
