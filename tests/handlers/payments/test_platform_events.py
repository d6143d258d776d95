"""Events of WeChat that move no gold, sent by the simulator in plain and in safe mode."""

from typing import Any

import pytest
from pymongo.database import Database

from devtools.simulator.notifications import SimulatedPlatformEvents
from runtime.process import ServerProcess
from tencent.message_push import (
    ATTENTION,
    COIN_PAYMENT,
    PLATFORM_EVENTS,
    REFUND_QUESTION,
    MessagePushReader,
)
from tests.support.api import ApiFixture
from tests.support.gifts import CANDY, give
from tests.support.payments import (
    create_order,
    event_sender,
    notification_statuses,
    pay_order,
    send_event,
)

Db = Database[dict[str, Any]]


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"pay": {"provider": "xpay"}}


@pytest.fixture(params=["safe", "plain"])
def mode(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


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
        server.simulator.pushes.aes_key = ""
    return sender


async def times_counted(api: ApiFixture, event: str) -> float:
    return (await api.metrics()).get(f'qlive_platform_events_total{{event="{event}"}}', 0)


async def test_apples_question_is_answered_from_the_journal_and_the_answer_kept(
    api: ApiFixture, server: ServerProcess, db: Db, wechat: SimulatedPlatformEvents
) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    order = (await pay_order(api, await create_order(anna)))["order"]
    await notification_statuses(server)
    (await give(anna, host.id, CANDY, 3)).ok()
    await api.outage("wechat", status=500)
    await api.outage("pay", status=500)
    first, repeated = await send_event(api, wechat, REFUND_QUESTION, "twice", order=order)
    assert first.answer
    assert repeated.answer == first.answer
    assert first.answer["result_code"] == 1
    for part in (f"订单{order}：", "到账60金币", "消费15金币", f"直播间{host.live_id}（场次"):
        assert part in first.answer["evidence"]
    (row,) = db.inbox.find({"event": REFUND_QUESTION})
    assert (row["times"], row["outcome"], row["expires_at"]) == (2, "done", None)
    (item,) = (await api.ops("GET", f"inbox?event={REFUND_QUESTION}&q={order}")).ok()["items"]
    assert item["answer"] == first.answer
    assert await times_counted(api, REFUND_QUESTION) == 1
    assert (await api.ops("POST", "inbox/again", id=row["_id"])).status == 400


async def test_each_event_that_needs_a_person_is_kept_counted_and_shown_once(
    api: ApiFixture, db: Db, wechat: SimulatedPlatformEvents, mode: str
) -> None:
    encrypted = "yes" if mode == "safe" else "no"
    for event in sorted(ATTENTION & PLATFORM_EVENTS - {COIN_PAYMENT}):
        for report, deliveries in (("twice", 2), ("late", 1)):
            sent = await send_event(api, wechat, event, report, openid="oAnna")
            assert [delivery.status for delivery in sent] == [200] * deliveries, event
        rows = list(db.inbox.find({"event": event}).sort("received_at", 1))
        assert [row["times"] for row in rows] == [2, 1], event
        assert {(row["outcome"], row["expires_at"]) for row in rows} == {("done", None)}
        assert all(f"encrypted={encrypted}" in row["query"] for row in rows)
        assert await times_counted(api, event) == len(rows)
    shown = (await api.ops("GET", "overview")).ok()["attention"]
    stored = {event: db.inbox.count_documents({"event": event}) for event in ATTENTION}
    assert {row["event"]: row["times"] for row in shown} == {
        event: times for event, times in stored.items() if times
    }
