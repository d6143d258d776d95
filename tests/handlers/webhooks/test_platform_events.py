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

async_test = pytest.mark.gen_test(timeout=30)
Db = Database[dict[str, Any]]


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"pay": {"provider": "xpay"}}


@pytest.fixture(params=["safe", "plain"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


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
    metrics = (await api.request("GET", "/metrics")).text
    prefix = f'qlive_platform_events_total{{event="{event}"}} '
    found = [line for line in metrics.splitlines() if line.startswith(prefix)]
    return float(found[0].removeprefix(prefix)) if found else 0


@async_test
async def test_apples_question_is_answered_from_the_journal_and_the_answer_kept(
    api: ApiFixture, server: ServerProcess, db: Db, wechat: SimulatedPlatformEvents
) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    order = await recharge(api, server, anna)
    (unspent,) = await send_event(api, wechat, REFUND_QUESTION, order=order)
    assert unspent.answer
    assert (unspent.answer["result_code"], unspent.answer["result_info"]) == (0, "已交付，未消费")
    for request_id in ("kept", "undone"):
        (await give(anna, host.id, CANDY, 3, request_id=request_id)).ok()
    undone = {"entry": f"gift:{anna.id}:undone", "reason": "mistake"}
    (await api.ops("POST", "ledger/reverse", **undone)).ok()
    await api.outage("wechat", status=500)
    await api.outage("pay", status=500)
    (spent,) = await send_event(api, wechat, REFUND_QUESTION, "late", order=order)
    assert spent.answer
    assert spent.answer["result_code"] == 1
    for part in (f"订单{order}：", "到账60金币", "消费15金币", f"直播间{host.live_id}（场次"):
        assert part in spent.answer["evidence"]
    rows = list(db.inbox.find({"event": REFUND_QUESTION}).sort("received_at", 1))
    assert [row["answer"] for row in rows] == [unspent.answer, spent.answer]
    assert {(row["outcome"], row["expires_at"]) for row in rows} == {("done", None)}
    items = (await api.ops("GET", f"inbox?event={REFUND_QUESTION}&q={order}")).ok()["items"]
    assert [item["answer"] for item in items] == [spent.answer, unspent.answer]


@async_test
async def test_repeated_question_gets_the_first_answer_whatever_was_spent_meanwhile(
    api: ApiFixture, server: ServerProcess, db: Db, wechat: SimulatedPlatformEvents
) -> None:
    anna, bert = await api.user("anna", 2), await api.user("bert", 1)
    order = await recharge(api, server, anna)
    question = wechat.contents(order)[REFUND_QUESTION]
    await wechat._send_as(question, "twice")
    (await give(anna, bert.id, CANDY)).ok()
    await wechat._send_as({**question, "CreateTime": question["CreateTime"] + 60}, "once")
    first, second, third = (it.answer for it in wechat.sent)
    assert first
    assert (first["result_code"], second, third) == (0, first, first)
    (row,) = db.inbox.find({"event": REFUND_QUESTION})
    assert (row["times"], row["answer"]) == (3, first)
    assert await times_counted(api, REFUND_QUESTION) == 1
    assert (await api.ops("POST", "inbox/again", id=row["_id"])).status == 400
    assert db.inbox.find_one({"_id": row["_id"]})["outcome"] == "done"  # type: ignore[index]


@async_test
async def test_question_about_an_uncredited_or_unknown_order(
    api: ApiFixture, db: Db, wechat: SimulatedPlatformEvents
) -> None:
    anna = await api.user("anna", 2)
    await create_order(anna)
    order = db.orders.find_one()["_id"]  # type: ignore[index]
    (uncredited,) = await send_event(api, wechat, REFUND_QUESTION, order=order)
    assert uncredited.answer
    assert (uncredited.answer["result_code"], uncredited.answer["result_info"]) == (0, "未交付")
    for number in ("Q0", ""):
        (unknown,) = await send_event(api, wechat, REFUND_QUESTION, order=number)
        assert (unknown.status, unknown.answer) == (403, None)
    for wrong in ({"pay_order_id": 1}, {"pay_order_id": None}):
        await wechat._send_as({**wechat.contents()[REFUND_QUESTION], **wrong}, "once")
        assert (wechat.sent[-1].status, wechat.sent[-1].answer) == (403, None)
    assert db.inbox.count_documents({"reason": "unreadable"}) == 3
    reasons = {row["reason"] for row in db.inbox.find({"outcome": "refused"})}
    assert reasons == {"order", "unreadable"}


@async_test
async def test_each_event_that_needs_a_person_is_kept_counted_and_shown_once(
    api: ApiFixture, db: Db, wechat: SimulatedPlatformEvents, mode: str
) -> None:
    encrypted = "yes" if mode == "safe" else "no"
    for event in sorted(ATTENTION - {COIN_PAYMENT}):
        for report, deliveries in (("twice", 2), ("late", 1)):
            sent = await send_event(api, wechat, event, report, openid="oAnna")
            assert [it.status for it in sent] == [200] * deliveries, event
        rows = list(db.inbox.find({"event": event}).sort("received_at", 1))
        # The late one is another complaint, but the same withdrawal of consent.
        assert [row["times"] for row in rows] in ([2, 1], [3]), event
        assert {(row["outcome"], row["expires_at"]) for row in rows} == {("done", None)}
        assert all(f"encrypted={encrypted}" in row["query"] for row in rows)
        assert await times_counted(api, event) == len(rows)
        assert (await api.ops("POST", "inbox/again", id=rows[0]["_id"])).status == 400
    shown = (await api.ops("GET", "overview")).ok()["attention"]
    stored = {event: db.inbox.count_documents({"event": event}) for event in ATTENTION}
    assert {row["event"]: row["times"] for row in shown} == {
        event: times for event, times in stored.items() if times
    }


@async_test
async def test_payment_for_coins_of_wechat_is_refused_and_credits_nothing(
    api: ApiFixture, server: ServerProcess, db: Db, wechat: SimulatedPlatformEvents
) -> None:
    anna = await api.user("anna", 2)
    await create_order(anna)
    order = db.orders.find_one()["_id"]  # type: ignore[index]
    sent = await send_event(api, wechat, COIN_PAYMENT, "twice", order=order)
    assert [it.status for it in sent] == [403, 403]
    (row,) = db.inbox.find({"event": COIN_PAYMENT})
    assert (row["outcome"], row["reason"], row["times"]) == ("refused", "coin_mode", 2)
    assert (row["expires_at"], await times_counted(api, COIN_PAYMENT)) == (None, 1)
    assert (gold_of(db, anna), db.ledger.count_documents({})) == (0, 0)
    overview = (await api.ops("GET", "overview")).ok()
    assert [item["event"] for item in overview["attention"]] == [COIN_PAYMENT]


@async_test
async def test_forged_events_are_refused_and_alarm_nobody(
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


@async_test
async def test_simulator_refuses_an_unknown_event_or_report(
    api: ApiFixture, wechat: SimulatedPlatformEvents
) -> None:
    for body in ({}, {"event": "unknown"}, {"event": REFUND_QUESTION, "report": "loudly"}):
        assert (await api.request("POST", "/sim/wechat_event", json=body)).status == 400
