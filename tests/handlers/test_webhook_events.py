"""Each event that a company's systems receive, over the API and as the OpenAPI document says."""

from datetime import UTC, datetime
from typing import Any

import jsonschema_rs
import pytest

from core.clock import day_of
from ledger.recharge import Refund
from runtime.process import ServerProcess
from storage.moderation import item_id_of
from storage.webhooks.payloads import WEBHOOK_PAYLOADS
from tests.support import openapi_checks
from tests.support.api import ApiFixture
from tests.support.gifts import CANDY, give
from tests.support.income import NO_MATURITY, confirm, payee, withdraw
from tests.support.mic import take_seat
from tests.support.moderation import HIDDEN, ModerationFixture
from tests.support.payments import create_order, notification_statuses, pay_order
from tests.support.waiting import until
from tests.support.webhooks import Receiver

PAST = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def paused_jobs() -> tuple[str, ...]:
    return ("moderation", "data_requests")


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"withdraw": {**NO_MATURITY, "auto_fen": 10_000}, "moderation": HIDDEN}


class Company:
    """An endpoint for all types."""

    def __init__(self, api: ApiFixture, server: ServerProcess, receiver: Receiver) -> None:
        self.api, self.server, self.receiver = api, server, receiver
        self._taken = 0

    async def subscribe(self) -> None:
        new = {"url": self.receiver.url, "types": [*WEBHOOK_PAYLOADS]}
        self.secret = (await self.api.ops("POST", "webhooks", **new)).ok()["secret"]

    async def next(self, *types: str) -> list[dict[str, Any]]:
        """The data of the next events, which have these types; each is as documented."""
        document = openapi_checks.document()
        await until(lambda: len(self.receiver.received) >= self._taken + len(types))
        requests = self.receiver.received[self._taken :]
        self._taken += len(requests)
        assert [request.content["type"] for request in requests] == [*types]
        for request in requests:
            request.verify(self.secret)
            post = document["webhooks"][request.content["type"]]["post"]
            schema = post["requestBody"]["content"]["application/json"]["schema"]
            whole = {**schema, "components": document["components"]}
            jsonschema_rs.validator_for(whole).validate(request.content)
        return [request.content["data"] for request in requests]


@pytest.fixture
def company(api: ApiFixture, server: ServerProcess, receiver: Receiver) -> Company:
    return Company(api, server, receiver)


async def test_a_live_is_sent_with_its_room_its_audience_and_the_counts_of_its_report(
    api: ApiFixture, company: Company, db: Any
) -> None:
    host, bert = await api.matchmaker(), await api.user("bert", 1, gold=100)
    await company.subscribe()
    live_id = (await host.post("qlive_room/matchmaker_enter/")).ok()["live_id"]
    [started] = await company.next("live.started")
    room = {"live_id": live_id, "epoch": started["epoch"], "title": "红娘"}
    assert started == {**room, "audience": 1, "host_id": host.id}
    (await bert.get("get_playurl/", live_id=live_id)).ok()
    bert.live_id, room["audience"] = live_id, 2
    await take_seat(bert)
    (await give(bert, host.id, CANDY, 2)).ok()
    (await bert.get("qlive_room/leave_micro/", live_id=live_id)).ok()
    seat = {**room, "user_id": bert.id, "seat": "male"}
    gift = {"sender_id": bert.id, "receiver_id": host.id, "gift_id": CANDY, "num": 2, "gold": 10}
    assert await company.next("seat.taken", "gift.given", "seat.left") == [
        seat,
        {**room, **gift},
        {**seat, "reason": "left"},
    ]
    epoch, date = room["epoch"], {"male": "1", "female": "2", "from": 1, "to": 2}
    db.visits.insert_many([{"_id": f"{epoch}:{n}"} for n in range(2)])
    db.follows.insert_many([{"_id": f"{n}:{host.id}", "epoch": epoch} for n in range(3)])
    db.lives.update_one({"_id": epoch}, {"$set": {"matches": 4}})
    counts = {"application_count": 5, "income": 6, "date_count": 2, "dates": [date, date]}
    db.rooms.update_one({"_id": live_id}, {"$set": counts})
    report = {"audience_peak": 1, "audience_total": 3, "applications": 5, "income": 6}
    report |= {"followers": 3, "matches": 4}
    (await host.post("qlive_room/live_end/", live_id=live_id)).ok()
    [ended] = await company.next("live.ended")
    assert ended == {**room, **report, "dates": 2, "host_id": host.id, "reason": "host"}
    (await give(bert, host.id)).ok()
    assert await company.next("gift.given") == [{**gift, "num": 1, "gold": 5}]


async def test_money_is_sent_once_it_has_moved(
    api: ApiFixture, server: ServerProcess, company: Company
) -> None:
    host, anna = await payee(api), await api.user("anna", 2)
    await company.subscribe()
    content = await create_order(anna)
    for _ in range(2):
        order = (await pay_order(api, content, report="twice"))["order"]
        await notification_statuses(server)
    about = {"order": order, "user_id": anna.id}
    assert await company.next("order.paid") == [{**about, "gold": 60, "fen": 600}]
    payments = server.context.services.payments.payments
    for _ in range(2):
        await payments.refund(Refund("jsapi", order, "R1", 100))
    assert await company.next("order.refunded") == [{**about, "gold": 10, "fen": 100}]
    case = {"user_id": anna.id, "orders": [order], "request_id": "r", "reason": "minor"}
    opened = (await api.ops("POST", "refunds", **case)).ok()
    (await api.ops("POST", f"refunds/{opened['id']}/confirm", reason="minor")).ok()
    await server.context.services.refunds.job.sweep()
    assert await company.next("order.refunded") == [{**about, "gold": 50, "fen": 500}]
    await confirm(api, (await withdraw(host, 100))["package_info"])
    await notification_statuses(server)
    [paid] = await company.next("withdrawal.paid")
    assert (paid["user_id"], paid["income"], paid["fen"]) == (host.id, 100, 1_000)


async def test_users_reports_and_decisions_are_sent_without_reporter_or_openid(
    api: ApiFixture, server: ServerProcess, company: Company, db: Any
) -> None:
    host = await api.host()
    await company.subscribe()
    anna, bert = await api.user("anna", 2), await api.user("bert", 1)
    (await bert.post("qlive_user/report/", user_id=anna.id, reason="fraud", text="him")).ok()
    (await bert.post("qlive_user/report/", user_id=anna.id, reason="abuse")).ok()  # the same day
    item = db.moderation_items.find_one({"kind": "report"})
    guess = item_id_of("report", bert.id, anna.id, day_of(item["created_at"]))
    assert item["_id"] != guess, "trying all user ids would find the reporter"
    decision = {"approved": False, "state": "review", "reason": "true"}
    (await api.ops("POST", f"moderation/{item['_id']}/decide", **decision)).ok()
    (await api.ops("PATCH", f"users/{bert.id}", banned=True, ban_reason="fraud")).ok()
    about = {"item_id": item["_id"], "user_id": anna.id}
    decided = {**about, "kind": "report", "outcome": "refused", "by": "operator"}
    assert await company.next(
        *("user.registered", "user.registered", "report.filed", "moderation.decided"),
        "user.banned",
    ) == [
        *({"user_id": anna.id}, {"user_id": bert.id}),
        *({**about, "live_id": 0, "reason": "fraud"}, decided, {"user_id": bert.id}),
    ]
    (await anna.post("qlive_user/delete/")).ok()
    for _ in range(2):
        db.users.update_one({"_id": anna.id}, {"$set": {"delete_at": PAST}})
        await server.context.services.accounts.data_requests.job.sweep()
    assert await company.next("user.deleted") == [{"user_id": anna.id}]
    kept = [row["data"] for row in db.webhook_events.find({"type": "report.filed"})]
    assert kept == [{}]
    assert host.id not in str(company.receiver.received)


async def test_what_a_check_decides_is_sent_whether_at_once_or_later(
    api: ApiFixture, moderation: ModerationFixture, company: Company
) -> None:
    anna = await api.user("anna", 2)
    await company.subscribe()
    await moderation.change(anna.id, nickname="first")
    await moderation.change(anna.id, nickname="review 安娜")
    item = await moderation.latest(anna.id)
    decision = {"approved": True, "state": "review"}
    (await api.ops("POST", f"moderation/{item.id}/decide", **decision)).ok()
    first, second = await company.next("moderation.decided", "moderation.decided")
    assert (first["outcome"], first["by"]) == ("approved", "check")
    assert (second["item_id"], second["by"]) == (item.id, "operator")
