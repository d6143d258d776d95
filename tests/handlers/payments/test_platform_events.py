"""Events of WeChat that move no gold, sent by the simulator in plain and in safe mode."""

from typing import Any

import pytest
from pymongo.database import Database

from devtools.simulator.platform_events import SimulatedPlatformEvents
from runtime.process import ServerProcess
from tencent.message_push import (
    ATTENTION,
    COIN_PAYMENT,
    PLATFORM_EVENTS,
    REFUND_QUESTION,
    MessagePushReader,
)
from tests.support.api import ApiClient, ApiFixture
from tests.support.gifts import CANDY, give
from tests.support.payments import create_order, gold_of, notification_statuses, pay_order
from tests.support.platform_events import event_sender, send_event

Db = Database[dict[str, Any]]


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"pay": {"provider": "xpay"}}


@pytest.fixture
def mode() -> str:
    return "safe"


in_both_modes = pytest.mark.parametrize("mode", ["safe", "plain"])


@pytest.fixture
def wechat(
    server: ServerProcess, mode: str, monkeypatch: pytest.MonkeyPatch
) -> SimulatedPlatformEvents:
    """The simulator's sender of events."""
    sender = event_sender(server)
    monkeypatch.setattr("devtools.simulator.notifications.LATE_SECONDS", 0.01)
    if mode == "plain":
        server.context.tencent.message_push = MessagePushReader(
            server.settings.pay.push_token, "", ""
        )
        sender._pushes._aes_key = ""
    return sender


async def recharge(api: ApiFixture, server: ServerProcess, client: ApiClient) -> str:
    """60 gold; the number of the order."""
    order = (await pay_order(api, await create_order(client)))["order"]
    await notification_statuses(server)
    return str(order)


async def times_counted(api: ApiFixture, event: str) -> float:
    return (await api.metrics()).get(f'qlive_platform_events_total{{event="{event}"}}', 0)


@in_both_modes
async def test_apples_question_is_answered_from_the_journal_and_the_answer_kept(
    api: ApiFixture, server: ServerProcess, db: Db, wechat: SimulatedPlatformEvents
) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    order = await recharge(api, server, anna)
    question = wechat.contents(order)[REFUND_QUESTION]
    await wechat._send_as(question, "twice")
    for request_id in ("kept", "undone"):
        (await give(anna, host.id, CANDY, 3, request_id=request_id)).ok()
    undone = {"entry": f"gift:{anna.id}:undone", "reason": "mistake"}
    (await api.ops("POST", "ledger/reverse", **undone)).ok()
    await wechat._send_as({**question, "CreateTime": question["CreateTime"] + 60}, "once")
    first, *repeated = (sent.answer for sent in wechat.sent)
    assert repeated == [first, first], "the first answer, whatever was spent meanwhile"
    assert first
    assert (first["result_code"], first["result_info"]) == (0, "已交付，未消费")
    await api.outage("wechat", status=500)
    await api.outage("pay", status=500)
    (late,) = await send_event(api, wechat, REFUND_QUESTION, "late", order=order)
    assert late.answer
    assert late.answer["result_code"] == 1
    for part in (f"订单{order}：", "到账60金币", "消费15金币", f"直播间{host.live_id}（场次"):
        assert part in late.answer["evidence"]
    rows = list(db.inbox.find({"event": REFUND_QUESTION}).sort("received_at", 1))
    assert [(row["times"], row["answer"]) for row in rows] == [(3, first), (1, late.answer)]
    assert {(row["outcome"], row["expires_at"]) for row in rows} == {("done", None)}
    items = (await api.ops("GET", f"inbox?event={REFUND_QUESTION}&q={order}")).ok()["items"]
    assert [item["answer"] for item in items] == [late.answer, first]
    assert await times_counted(api, REFUND_QUESTION) == 2
    assert (await api.ops("POST", "inbox/again", id=rows[0]["_id"])).status == 400


async def test_question_about_an_uncredited_or_unknown_order(
    api: ApiFixture, db: Db, wechat: SimulatedPlatformEvents
) -> None:
    anna = await api.user("anna", 2)
    await create_order(anna)
    order = db.orders.find_one()["_id"]  # type: ignore[index]
    (uncredited,) = await send_event(api, wechat, REFUND_QUESTION, order=order)
    assert uncredited.answer
    assert (uncredited.answer["result_code"], uncredited.answer["result_info"]) == (0, "未交付")
    for number in ("Q0", "", 1, None):
        question = {**wechat.contents()[REFUND_QUESTION], "pay_order_id": number}
        await wechat._send_as(question, "once")
        assert (wechat.sent[-1].status, wechat.sent[-1].answer) == (403, None)
    reasons = [row["reason"] for row in db.inbox.find({"outcome": "refused"})]
    assert sorted(reasons) == ["order", "unreadable", "unreadable", "unreadable"]


@in_both_modes
async def test_each_event_that_needs_a_person_is_kept_counted_and_shown_once(
    api: ApiFixture, db: Db, wechat: SimulatedPlatformEvents, mode: str
) -> None:
    encrypted = "yes" if mode == "safe" else "no"
    for event in sorted(ATTENTION - {COIN_PAYMENT}):
        for report, deliveries in (("twice", 2), ("late", 1)):
            sent = await send_event(api, wechat, event, report, openid="oAnna")
            assert [delivery.status for delivery in sent] == [200] * deliveries, event
        rows = list(db.inbox.find({"event": event}).sort("received_at", 1))
        # The late one is another complaint, but the same withdrawal of consent.
        assert [row["times"] for row in rows] in ([2, 1], [3]), event
        assert {(row["outcome"], row["expires_at"]) for row in rows} == {("done", None)}
        assert all(f"encrypted={encrypted}" in row["query"] for row in rows)
        assert await times_counted(api, event) == len(rows)
    shown = (await api.ops("GET", "overview")).ok()["attention"]
    stored = {event: db.inbox.count_documents({"event": event}) for event in ATTENTION}
    assert {row["event"]: row["times"] for row in shown} == {
        event: times for event, times in stored.items() if times
    }


async def test_payment_for_coins_of_wechat_is_refused_and_credits_nothing(
    api: ApiFixture, server: ServerProcess, db: Db, wechat: SimulatedPlatformEvents
) -> None:
    anna = await api.user("anna", 2)
    await create_order(anna)
    order = db.orders.find_one()["_id"]  # type: ignore[index]
    sent = await send_event(api, wechat, COIN_PAYMENT, "twice", order=order)
    assert [delivery.status for delivery in sent] == [403, 403]
    (row,) = db.inbox.find({"event": COIN_PAYMENT})
    assert (row["outcome"], row["reason"], row["times"]) == ("refused", "coin_mode", 2)
    assert (row["expires_at"], await times_counted(api, COIN_PAYMENT)) == (None, 1)
    assert (gold_of(db, anna), db.ledger.count_documents({})) == (0, 0)
    overview = (await api.ops("GET", "overview")).ok()
    assert [item["event"] for item in overview["attention"]] == [COIN_PAYMENT]


async def test_forged_events_are_refused_and_need_no_person(
    api: ApiFixture, server: ServerProcess, db: Db, wechat: SimulatedPlatformEvents
) -> None:
    anna = await api.user("anna", 2)
    order = await recharge(api, server, anna)
    for event in sorted(PLATFORM_EVENTS):
        for report in ("forged", "stale"):
            (sent,) = await send_event(api, wechat, event, report, order=order)
            assert (sent.status, sent.answer) == (403, None), (event, report)
        assert await times_counted(api, event) == 0
    assert db.inbox.count_documents({"event": {"$exists": True}}) == 0
    assert (await api.ops("GET", "overview")).ok()["attention"] == []
