"""Callbacks about payments, refunds and WeChat itself, many times each, shuffled: one effect."""

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from unittest.mock import AsyncMock
from urllib.parse import parse_qsl, urlsplit

import pytest

from devtools.simulator.notifications import (
    SimulatedDelivery,
    SimulatedPlatformEvents,
    SimulatedPushes,
)
from ledger.recharge import Payment
from ledger.refund_plan import OrderStep
from services.errors import RefundChanged
from services.payments.payment_notifications import message_of, push_of
from tencent.message_push import (
    COIN_PAYMENT,
    PLATFORM_EVENTS,
    REFUND_QUESTION,
    MessagePush,
    MessagePushReader,
)
from tencent.xpay import DELIVERED, REFUNDED
from tests.support.callback_storm import REPETITIONS, CallbackStorm, ReceivedCallback
from tests.support.races import run_after
from tests.support.refunds import RefundFixture
from tests.support.storage import SETTINGS
from tests.support.tencent import Clock

TOKEN, AES_KEY, APP, OTHER_APP = "push-token", "A" * 43, "wx1", "wx2"
OTHER_ORDER = "Q202603011200000a1b2c3d4e5f6071"
Content = Mapping[str, Any]
NOT_GENUINE = {"forged": "sign", "unsigned": "sign", "stale": "stale"}
"""Reasons of the refusals."""
ByReason = Iterable[tuple[str, ReceivedCallback]]
"""Callbacks, each with the reason of its refusal; "" for a genuine one."""


class PushCallbacks(CallbackStorm):
    """Message pushes in safe mode: of virtual payment (xpay), and of WeChat itself."""

    def __init__(self, refunds: RefundFixture, now: Clock) -> None:
        super().__init__(refunds.stores.database)
        self._process_push, self._now = refunds.process.notifications.process_push, now
        self.sent = {app: SimulatedPushes("", TOKEN, AES_KEY, app, now) for app in (APP, OTHER_APP)}
        self._received = MessagePushReader(TOKEN, AES_KEY, APP)

    def refunds(self, step: OrderStep) -> ByReason:
        """A genuine push first, and one of each kind that must have no effect."""
        content = {
            "Event": REFUNDED,
            "WxRefundId": f"50{step.number}",
            "MchRefundId": step.refund,
            "MchOrderId": step.number,
            "RefundFee": step.fen,
            "RetCode": 0,
        }
        yield "", self.push(content)
        for kind, reason in NOT_GENUINE.items():
            yield reason, self.push(content, kind)
        yield "app", self.push(content, app=OTHER_APP)
        yield "amount", self.push({**content, "RefundFee": step.fen + 1})
        yield "order", self.push({**content, "MchOrderId": OTHER_ORDER})

    def events(self, number: str, openid: str = "") -> dict[str, Content]:
        """One event of WeChat of each kind, about this order or user."""
        sender = SimulatedPlatformEvents(self.sent[APP], SimulatedDelivery())
        return dict(sender.contents(number, openid))

    def push(self, content: Content, kind: str = "once", app: str = APP) -> ReceivedCallback:
        sent = self.sent[app].report(content, kind)
        query = dict(parse_qsl(urlsplit(sent.url).query))
        push = self._received.open(query, sent.body, self._now())
        message = message_of(push, query, sent.body)
        return ReceivedCallback(message, push.refused, partial(self._process_push, push))


@pytest.fixture
def callbacks(refunds: RefundFixture, clock: Clock) -> PushCallbacks:
    return PushCallbacks(refunds, clock)


async def test_a_refund_callback_reverses_each_order_once_and_closes_the_case_once(
    refunds: RefundFixture, callbacks: PushCallbacks
) -> None:
    """An order of a confirmed case, and one whose refund was made in WeChat's console."""
    numbers = [await refunds.recharge(60) for _ in range(2)]
    case = await refunds.confirm(await refunds.open(numbers[0]))
    await refunds.sweep()
    (step,) = (await refunds.get(case)).orders
    by_hand = replace(step, number=numbers[1], refund="")
    genuine, *_ = callbacks.refunds(by_hand)
    sent = [*callbacks.refunds(step), genuine]
    await callbacks.receive_all(callback for _, callback in sent)
    expected = Counter(reason for reason, _ in sent)
    assert callbacks.outcomes == {reason: n * REPETITIONS for reason, n in expected.items()}
    closed = await refunds.get(case)
    assert (closed.state, [order.state for order in closed.orders]) == ("closed", ["refunded"])
    reversals = await refunds.stores.entries(kind="reversal")
    assert sorted(entry["content"]["reverses"] for entry in reversals) == sorted(
        f"recharge:{number}" for number in numbers
    )
    assert (await refunds.balances())[0] == (0, 0, 0, 0)
    await refunds.check()


async def test_a_payment_of_a_closed_order_is_credited(
    refunds: RefundFixture, callbacks: PushCallbacks
) -> None:
    order = await refunds.order()
    await refunds.stores.orders.close(order.number)
    goods = {"ProductId": order.product, "Quantity": 1, "OrigPrice": order.fen}
    content = {"Event": DELIVERED, "OpenId": "o1", "OutTradeNo": order.number, "Env": 0}
    await callbacks.receive_all([callbacks.push({**content, "GoodsInfo": goods})])
    assert callbacks.outcomes == {"": REPETITIONS}
    assert await refunds.stores.orders.find(order.number) == replace(order, state="paid")
    assert (await refunds.balances())[0] == (60, 0, 0, 0)
    await refunds.check()


async def test_gold_is_credited_only_together_with_the_state_of_its_order(
    refunds: RefundFixture,
) -> None:
    order, orders = await refunds.order(), refunds.stores.orders
    payment = Payment(order.provider, order.number, "42", order.fen)
    run_after(orders, "pay", AsyncMock(side_effect=ConnectionError))
    with pytest.raises(ConnectionError):
        await refunds.process.payments.credit(payment)
    assert await orders.find(order.number) == order
    assert ((await refunds.balances())[0], await refunds.stores.entries()) == ((0, 0, 0, 0), [])
    await refunds.process.payments.credit(payment)
    assert (await refunds.balances())[0] == (60, 0, 0, 0)


async def test_an_event_of_wechat_is_kept_once_and_moves_no_gold(
    refunds: RefundFixture, callbacks: PushCallbacks
) -> None:
    """Apple's question is answered the same each time, although gold is spent meanwhile."""
    number = await refunds.recharge()
    events = callbacks.events(number, "oAnna")
    assert events.keys() == PLATFORM_EVENTS
    await callbacks.receive_all(
        callbacks.push(content, kind)
        for content in events.values()
        for kind in ("once", "forged", "stale")
    )
    assert refunds.process.leaving == {"oAnna"}
    question = callbacks.push(events[REFUND_QUESTION])
    first = (await callbacks.inbox.stored(question.message))["answer"]
    await refunds.give(refunds.hosts[0], 40)
    await callbacks.receive_all([question])
    assert first
    assert (await callbacks.inbox.stored(question.message))["answer"] == first
    inbox = refunds.stores.database.collection("inbox")
    rows = await inbox.find({"genuine": True}).to_list()
    assert sorted(row["event"] for row in rows) == sorted(PLATFORM_EVENTS)
    outcomes = {row["event"]: row["outcome"] for row in rows}
    assert outcomes == dict.fromkeys(PLATFORM_EVENTS, "done") | {COIN_PAYMENT: "refused"}
    of_each = len(PLATFORM_EVENTS) * REPETITIONS
    assert callbacks.outcomes == {
        "": of_each,  # without the payment for coins, but with the question asked again
        "coin_mode": REPETITIONS,
        "sign": of_each,
        "stale": of_each,
    }
    assert [entry["kind"] for entry in await refunds.stores.entries()] == ["recharge", "gift"]
    await refunds.check()


async def test_a_question_of_apple_about_no_payment_is_refused_or_answered_so(
    refunds: RefundFixture, callbacks: PushCallbacks
) -> None:
    order = await refunds.order()
    question = callbacks.events(order.number)[REFUND_QUESTION]
    for number, reason in ((OTHER_ORDER, "order"), (None, "unreadable")):
        await callbacks.receive(callbacks.push({**question, "pay_order_id": number}))
        assert callbacks.outcomes.pop(reason) == 1
    unpaid = callbacks.push(question)
    await callbacks.receive(unpaid)
    answer = (await callbacks.inbox.stored(unpaid.message))["answer"]
    assert answer
    assert answer["result_info"] == "未交付"


def test_id_of_an_event_is_made_of_its_identity_and_content() -> None:
    """As in the databases of running servers: another would process a repeated event again."""
    content = {
        "Event": "xpay_goods_deliver_notify",
        "OpenId": "o1",
        "OutTradeNo": "Q1",
        "Env": 0,
        "GoodsInfo": {"ProductId": "gold_60", "Quantity": 1, "OrigPrice": 600},
    }
    push = MessagePush(content | {"CreateTime": 7, "RetryTimes": 2}, encrypted=True)
    message = message_of(push, {"signature": "s", "timestamp": "1"}, b"")
    event, order, digest = message.id.split(":")
    assert (event, order) == ("xpay_goods_deliver_notify", "Q1")
    assert digest == "f196f3fc34ea0edc0ff90598bd9074fd7053c895ae513a6b2cee15c5ef0d117c"
    assert message.query == "timestamp=1&encrypted=yes"
    assert push_of(message) == push


# ---- orders about which Apple asks


@pytest.mark.parametrize("named", ["", "android"])
async def test_an_order_about_which_apple_asks_is_left_to_apple(
    refunds: RefundFixture, callbacks: PushCallbacks, named: str
) -> None:
    number = await refunds.recharge(platform=named)
    question = callbacks.events(number)[REFUND_QUESTION]
    await callbacks.receive(callbacks.push(question, "forged"))
    await refunds.process.notifications.process_push(MessagePush(question))  # not signed
    before = await refunds.open(number)
    assert not before.orders[0].by_apple
    await callbacks.receive(callbacks.push(question))
    order = await refunds.stores.orders.find(number)
    assert order
    assert order.platform == "ios"
    with pytest.raises(RefundChanged):  # the operator has seen that we refund it
        await refunds.confirm(before)
    confirmed = await refunds.confirm(await refunds.get(before))
    assert confirmed.orders[0].by_apple


async def test_a_case_leaves_an_order_to_apple_that_asks_about_it_meanwhile(
    refunds: RefundFixture, callbacks: PushCallbacks
) -> None:
    number = await refunds.recharge()
    case = await refunds.confirm(await refunds.open(number))
    await callbacks.receive(callbacks.push(callbacks.events(number)[REFUND_QUESTION]))
    await refunds.sweep()
    (order,) = (await refunds.get(case)).orders
    assert (order.by_apple, order.state, refunds.desk.calls) == (True, "taken", [])


async def test_a_question_whose_processing_was_cut_short_is_completed_when_apple_repeats_it(
    refunds: RefundFixture, callbacks: PushCallbacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = await refunds.recharge(120, platform="android")
    question = callbacks.push(callbacks.events(number)[REFUND_QUESTION])
    written: list[str] = []
    with monkeypatch.context() as crash:
        for store, name in (
            (refunds.stores.orders, "note"),
            (refunds.stores.ledger, "note_ios_payment"),
        ):
            write = getattr(store, name)

            async def die_at_the_second(*args: Any, write: Any = write, **changes: Any) -> None:
                if written:
                    raise ConnectionError
                written.append(str(args))
                await write(*args, **changes)

            crash.setattr(store, name, die_at_the_second)
        with suppress(ConnectionError):
            await callbacks.receive(question)
    assert written
    await callbacks.receive(question)
    key = await refunds.give(refunds.hosts[0], 60)
    (entry,) = await refunds.stores.entries(_id=key)
    assert entry["ios"]


async def test_gifts_are_marked_until_a_recharge_on_ios_has_matured(
    refunds: RefundFixture, callbacks: PushCallbacks
) -> None:
    """A later recharge on another system does not end that; Apple's question begins it again."""
    asked: dict[str, bool] = {}
    for platform, is_marked in (("", False), ("ios", True), ("android", True)):
        number = await refunds.recharge(120, platform=platform)
        asked[await refunds.give(refunds.hosts[0], 60)] = is_marked
    days = SETTINGS.withdraw.ios_maturity_days
    await refunds.age_ios_payment(timedelta(days=days, minutes=-1))
    asked[await refunds.give(refunds.hosts[0], 30)] = True
    await refunds.age_ios_payment(timedelta(minutes=1))
    asked[await refunds.give(refunds.hosts[0], 30)] = False
    question = callbacks.events(number)[REFUND_QUESTION]
    for kind, is_marked in (("forged", False), ("once", True)):
        await callbacks.receive(callbacks.push(question, kind))
        asked[await refunds.give(refunds.hosts[0], 60)] = is_marked
    entries = {entry["_id"]: entry for entry in await refunds.stores.entries(kind="gift")}
    assert {key: entry.get("ios", False) for key, entry in entries.items()} == asked
    assert all(entry["rate"] == "0.5" for entry in entries.values())
    case = await refunds.confirm(await refunds.open(number))
    await refunds.sweep()
    await refunds.get(case)
    reversals = await refunds.stores.entries(kind="reversal", by=case.id)
    reversed_ = {entry["content"]["reverses"]: entry.get("ios", False) for entry in reversals}
    assert {*reversed_.values()} == {True, False}
    assert reversed_.items() <= asked.items()
