"""Alert rules, evaluated by Debian's promtool."""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from bson import ObjectId
from pymongo.database import Database

from ledger.recharge import Order
from rooms.moderation import Item
from runtime import jobs
from runtime.process import ServerProcess
from services.gold.ledger_audit import JOB_NAME as LEDGER_CHECK
from storage.moderation import new_item_id
from tencent.errors import ServiceUnavailable
from tencent.message_push import ATTENTION, CONSENT_REVOKED, REFUND_QUESTION
from tests.support.api import BASE, ApiFixture
from tests.support.client import parse_metrics
from tests.support.income import NO_MATURITY, next_transfer_fails, payee, withdraw
from tests.support.paths import ROOT
from tests.support.payments import (
    create_order,
    event_sender,
    notification_statuses,
    pay_order,
    send_event,
)
from tests.support.promtool import (
    alert_names,
    check_rule_tests,
    promtool,
    rule_groups,
    rule_test,
    with_labels,
)
from tests.support.waiting import until
from tests.support.webhooks import Receiver

pytestmark = pytest.mark.programs

FAULTS = {
    "QLiveBillDifferences",
    "QLiveCallbacksMissing",
    "QLiveGroupsReplaced",
    "QLiveLedgerProblem",
    "QLiveLedgerUnchecked",
    "QLiveLoopBusy",
    "QLiveModerationWaits",
    "QLiveOperatorLoginsRefused",
    "QLiveOperatorTokensRefused",
    "QLiveOrdersUnqueried",
    "QLiveOutboxOld",
    "QLivePaymentsRefused",
    "QLivePlatformEvent",
    "QLiveRatesMissing",
    "QLiveRefundStuck",
    "QLiveRefundUnfinished",
    "QLiveRequestsFail",
    "QLiveServiceDown",
    "QLiveTransferProblem",
    "QLiveTransfersUnfunded",
    "QLiveWebhooksFail",
    "QLiveWithdrawalStuck",
    "QLiveWithdrawalsWait",
    "QLiveXpayRejected",
}
TESTED = FAULTS | {"QLiveBillsUnchecked"}
"""Alerts that fire in these tests; that one by its series alone, since promtool's time begins at
0, before any day of a bill."""
AUTO_INCOME = 100
"""A withdrawal of more than that needs an operator."""
LATER = datetime.now(UTC) + timedelta(hours=1)
LONG_AGO = ObjectId.from_datetime(datetime.now(UTC) - timedelta(hours=5))
DAYS_AGO = datetime.now(UTC) - timedelta(days=4)
Document = dict[str, Any]
Sample = dict[str, float]
Series = dict[str, str]
UP = 'up{job="qlive",instance="a"}'


def qlive(name: str, **labels: str) -> str:
    """A series of the process "a"."""
    more = "".join(f',{label}="{value}"' for label, value in labels.items())
    return f'qlive_{name}{{job="qlive",instance="a"{more}}}'


def up(dependency: str) -> str:
    return qlive("dependency_up", dependency=dependency)


def oldest(what: str, state: str) -> str:
    return qlive(f"oldest_{what}_seconds", state=state)


def event(name: str) -> Series:
    """Its counter begins with 1 at the first event, five minutes after the start."""
    return first(qlive("platform_events_total", event=name))


def first(counter: str, values: str = "_x20 1x20") -> Series:
    return {qlive("started_at"): "1x40", counter: values}


def published(fast: str, slow: str) -> Series:
    shares = {"1": fast, "2.5": slow, "+Inf": slow}
    return {qlive("published_seconds_bucket", le=le): values for le, values in shares.items()}


FAILED = qlive("requests_total", status="500", route="A")
REJECTED = qlive("xpay_rejections_total", call="notify_provide_goods", errcode="-1")
FIRING: dict[str, tuple[Series, str]] = {
    # the values of a fault, and when its alert has fired; a sample every 15 s
    "QLiveDown": ({UP: "1x3 0x20"}, "3m"),
    "QLiveMongoDBDown": ({up("mongodb"): "1x3 0x20"}, "3m"),
    "QLiveRedisDown": ({up("redis"): "1x3 0x20"}, "4m"),
    "QLiveRestarted": ({qlive("started_at"): "1x20 100x3 200x20"}, "8m"),
    "QLiveFlood": ({qlive("requests_limited_total", by="user"): "0+150x40"}, "6m"),
    "QLiveEventsSlow": (published("0+97x60", "0+100x60"), "8m"),
}
"""Of alerts that no fault of one server fires."""
HARMLESS: dict[str, Series] = {
    "QLiveDown": {UP: "1 0x3 1x20"},
    "QLiveMongoDBDown": {up("mongodb"): "1x3 0x3 1x20"},
    "QLiveRatesMissing": {up("rates"): "1x3 0x2 1x20"},
    "QLiveRedisDown": {up("redis"): "1x3 0x6 1x20"},
    "QLiveServiceDown": {up("im"): "1x3 0x18 1x20"},
    "QLiveCallbacksMissing": {qlive("missing_callback_seconds", kind="im:a"): "21600x100"},
    "QLiveLedgerProblem": {qlive("ledger_problems"): "0 -1 0x20"},
    "QLiveLedgerUnchecked": {qlive("ledger_checked_at"): "0+15x400"},
    "QLiveBillDifferences": {qlive("bill_differences"): "0 1x30 0x20"},
    "QLiveBillsUnchecked": {qlive("bill_checked_at"): "0x9000"},
    "QLiveOrdersUnqueried": {qlive("oldest_unpaid_order_seconds"): "0+15x400"},
    "QLiveTransfersUnfunded": {qlive("transfer_problems", code="NOT_ENOUGH"): "0x4 1x4 0x20"},
    "QLiveWithdrawalsWait": {oldest("withdrawal", "requested"): "100000+15x100"},
    "QLiveOutboxOld": {qlive("outbox_oldest_seconds"): "0+15x20 0x20"},
    "QLiveLoopBusy": {qlive("loop_lag_seconds"): "0.01x20 2 0.01x60"},
    "QLiveRestarted": {qlive("started_at"): "1x20 100x60"},
    "QLiveFlood": {qlive("requests_limited_total", by="user"): "0+5x40"},
    "QLiveGroupsReplaced": {qlive("groups_replaced_total"): "0x20 2x20"},
    "QLiveOperatorLoginsRefused": {qlive("operator_logins_refused_total"): "0x20 6x20"},
    "QLiveOperatorTokensRefused": {qlive("operator_tokens_refused_total"): "0x20 4x20"},
    "QLiveWebhooksFail": {qlive("webhook_failures_total"): "0x40"},
    "QLiveRefundStuck": {
        qlive("refund_problems", problem="pay_away"): "1x400",
        oldest("refund", "refunding"): "200000+15x400",
        oldest("refund", "reversing"): "0+15x400",
    },
    "QLiveRefundUnfinished": {oldest("refund", "opened"): "300000+15x200"},
    "QLiveModerationWaits": {qlive("moderation_oldest_seconds", kind="face"): "30000+15x100"},
    # Scrapes fail for a minute, then the unit is restarted.
    "QLiveRequestsFail": {
        qlive("started_at"): "1x20 stale _x3 2x80",
        FAILED: "7x20 stale _x3 7x20 stale",
    },
    "QLivePlatformEvent": event(REFUND_QUESTION) | event(CONSENT_REVOKED),
    "QLiveTransferProblem": {
        qlive("transfer_problems", code="UNCLEAR"): "1x40 0x60",
        qlive("transfer_problems", code="FREQUENCY_LIMITED"): "1x100",
    },
    "QLiveWithdrawalStuck": {
        oldest("withdrawal", "submitted"): "0+15x100",
        oldest("withdrawal", "awaiting_user"): "90000+15x100",
        # a steady queue, each of them for a few seconds
        oldest("withdrawal", "approved"): "5x100",
        qlive("withdrawals_open", state="approved"): "3x100",
    },
    "QLivePaymentsRefused": first(qlive("callbacks_refused_total", source="im", reason="sign")),
    # an abandoned order, and a notification that was repeated once.
    "QLiveXpayRejected": first(
        qlive("xpay_rejections_total", call="query_order", errcode="268490002"), "_x20 50x20"
    )
    | first(REJECTED),
    "QLiveEventsSlow": published("0+995x60", "0+1000x60"),
}
STUCK = {"approved": "0+15x100", "awaiting_user": "108100x100"}
"""A withdrawal is stuck in each state after a time of its own."""


def test_a_bill_is_missed_after_a_day_and_a_half(tmp_path: Path) -> None:
    name, series = "QLiveBillsUnchecked", {qlive("bill_checked_at"): "1x8800"}
    # All rules every 15 s of that time would take 20 s.
    check_rule_tests(tmp_path, {name: rule_test(series, "2190m", [name])}, 300)


def test_every_alert_fires_for_its_faults_and_not_for_less(tmp_path: Path) -> None:
    assert HARMLESS.keys() == set(alert_names())
    tests = {name: rule_test(fault, at, [name]) for name, (fault, at) in FIRING.items()}
    for state, values in STUCK.items():
        series = {oldest("withdrawal", state): values}
        tests[state] = rule_test(series, "21m", ["QLiveWithdrawalStuck"])
    for name in sorted(ATTENTION):
        tests[name] = rule_test(event(name), "6m", ["QLivePlatformEvent"])
    less = {
        series.replace('instance="a"', f'instance="{name}"'): values
        for name, harmless in HARMLESS.items()
        for series, values in harmless.items()
    }
    check_rule_tests(tmp_path, {**tests, "less": rule_test(less, "25m", [])})


async def test_each_query_of_the_dashboard_is_about_exported_metrics(
    http_api: ApiFixture, tmp_path: Path
) -> None:
    dashboard = json.loads((ROOT / "deploy" / "grafana.json").read_text())
    queries = [
        target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())
    ]
    text = (await http_api.request("GET", "/metrics")).text
    exported = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
    for query in queries:
        assert set(re.findall(r"qlive_\w+?(?=_bucket|\b)", query)) <= exported, query
    rules = [{"record": f"query{n}", "expr": query} for n, query in enumerate(queries)]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", file)


def test_every_alert_has_its_severity_and_its_section_in_the_operations_page() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    sections = dict(re.findall(r"^### (QLive\w+)\n\*\*(page|ticket)\.\*\* \S", page, re.MULTILINE))
    rules = [rule for group in rule_groups() for rule in group["rules"] if "alert" in rule]
    assert sections == {rule["alert"]: rule["labels"]["severity"] for rule in rules}
    runbooks = [rule["annotations"]["runbook"] for rule in rules]
    assert runbooks == [f"docs/operations.md#{rule['alert'].lower()}" for rule in rules]


class Faults:
    """A server, and what goes wrong in it."""

    def __init__(self, api: ApiFixture, server: ServerProcess, db: Database[Document]) -> None:
        self.api, self.db, self.server, self.context = api, db, server, server.context
        assert server.simulator
        self.wechat = event_sender(server)

    async def scrape(self, blocked_seconds: float = 0.0) -> Sample:
        """After what the jobs do every few seconds, the last one with the event loop blocked."""
        await jobs.measure_metrics(self.context)
        asyncio.get_running_loop().call_later(0.01, time.sleep, blocked_seconds)
        await jobs.measure_lag(self.context)
        return parse_metrics(self.context.metrics.text().decode())  # before the jobs measure again

    async def refuse(self) -> None:
        """Wrong tokens, wrong passwords, and a forged payment notification."""
        for _ in range(7):
            await self.api.request("GET", "/ops/api/rooms", headers={"Authorization": "Bearer x"})
        for n in range(12):
            body, address = {"name": f"anna{n}", "password": "x"}, f"203.0.113.{n}"
            headers = {"X-Forwarded-For": address}
            await self.api.request("POST", "/ops/api/login", json=body, headers=headers)
        await self.api.request("POST", f"{BASE}qlive_pay/notify/", data="forged")

    async def complain(self) -> None:
        """A user complains to WeChat."""
        await send_event(self.api, self.wechat, "xpay_complaint_notify")

    async def lose_webhook(self, receiver: Receiver) -> None:
        """A company's system answers 410."""
        receiver.fail(410)
        endpoint = {"url": receiver.url, "types": ["user.registered"]}
        (await self.api.ops("POST", "webhooks", **endpoint)).ok()
        await self.api.user("dora", 2)
        await until(lambda: self.db.webhooks.find_one({"off_reason": "gone"}))

    async def lose_tencent(self) -> None:
        """WeChat Pay is down with an old order, xpay rejects, a call waits, groups are gone."""
        anna = await self.api.user("anna", 2)
        (await anna.post("qlive_pay/", block_id=1)).ok()
        self.db.orders.update_many({}, {"$set": {"created_at": LONG_AGO.generation_time}})
        await self.api.outage("pay", status=500)
        assert (await anna.post("qlive_pay/", block_id=1)).status == 503
        self.db.outbox.insert_one({"state": "due", "due_at": LATER, "_id": LONG_AGO})
        paid = Order(
            "1", anna.id, "xpay", next(iter(self.context.settings.wechat.apps)), "", "", 1, 1
        )
        for _ in range(3):  # WeChat knows no such order
            with pytest.raises(ServiceUnavailable):
                await self.context.tencent.xpay.deliver(paid)
        live_id = (await self.api.host()).live_id
        for _ in range(4):
            room = await self.context.room_changes.load(live_id)
            await self.context.services.chat.groups.replace(live_id, room.group_id)
            long_ago = {"$set": {"next_group.at": LONG_AGO.generation_time}}
            self.db.rooms.update_one({"_id": live_id}, long_ago)

    async def hold_withdrawals(self) -> None:
        """WeChat Pay has no money, answers nothing, goes on with nothing; no operator approves."""
        host = await payee(self.api)
        for fault in ("NOT_ENOUGH", "lost", "accepted"):
            await next_transfer_fails(self.api, fault)
            await withdraw(host, AUTO_INCOME, fault)
        await withdraw(host, AUTO_INCOME + 1, "to approve")
        for state, since in {"submitted": LONG_AGO.generation_time, "requested": DAYS_AGO}.items():
            changed = self.db.withdrawals.update_many(
                {"state": state}, {"$set": {"state_since": since, "requested_at": since}}
            )
            assert changed.modified_count

    async def hold_refunds(self) -> None:
        """WeChat Pay refuses one refund, and does not end another one for days."""
        for outcome in ({"fault": "NOT_ENOUGH"}, {"outcome": "held"}):
            (await self.api.request("POST", "/sim/refund/next", json=outcome)).ok()
            anna = await self.api.user(f"anna {outcome}", 2)
            order = (await pay_order(self.api, await create_order(anna)))["order"]
            await notification_statuses(self.server)
            body = {"user_id": anna.id, "orders": [order], "request_id": order, "reason": "minor"}
            case = (await self.api.ops("POST", "refunds", **body)).ok()
            (await self.api.ops("POST", f"refunds/{case['id']}/confirm", reason="minor")).ok()
            await self.context.services.refunds.job.sweep()
        self.db.refund_cases.update_many({}, {"$set": {"decided_at": DAYS_AGO}})

    async def lose_order(self) -> None:
        """An order that was paid three days ago is not in WeChat's bill."""
        carl = await self.api.user("carl", 1)
        await pay_order(self.api, await create_order(carl))
        await notification_statuses(self.server)
        paid_at = {"$set": {"paid_at": datetime.now(UTC) - timedelta(days=3)}}
        self.db.orders.update_many({"user_id": carl.id}, paid_at)
        await self.context.services.payments.bills.run_if_due()

    async def spoil_data(self) -> None:
        """A rate is missing, a balance was changed by hand, a user is broken, a report waits."""
        bert = await self.api.user("bert", 1)
        report = Item(new_item_id(), "report", bert.id, DAYS_AGO, state="review")
        await self.context.stores.moderation.add(report)
        self.db.configs.delete_many({"key": "EXCHANGE_RATE"})
        self.context.services.gold.catalogue.invalidate()
        self.db.users.update_one({"_id": bert.id}, {"$inc": {"gold": 5}})
        await self.context.services.gold.audit.run_if_due()
        await self.context.services.gold.audit.check()
        self.db.users.update_one({"_id": bert.id}, {"$unset": {"create_time": 1}})
        assert (await bert.get("get_configs/")).status == 500

    async def lose_callbacks(self) -> None:
        """IM's callback of a left room came every hour until seven hours ago; another one comes."""
        last_at = datetime.now(UTC) - timedelta(hours=7)
        hours = [last_at - timedelta(hours=n) for n in range(168)]
        row = {"first_at": hours[-1], "last_at": last_at, "hours": hours}
        self.db.arrivals.insert_one({"_id": "im:Group.CallbackAfterMemberExit", **row})
        self.context.services.arrivals.note("live", "1")
        await self.context.services.arrivals.run()

    async def fail_ledger_check(self) -> None:
        audit = self.context.services.gold.audit
        self.context.stores.ledger_reconciler.problems = None  # type: ignore[method-assign]
        self.db.job_leases.update_one({"_id": LEDGER_CHECK}, {"$set": {"due_at": DAYS_AGO}})
        with pytest.raises(TypeError):
            await audit.run_if_due()
        await audit.run_if_due()


@pytest.fixture
def paused_jobs() -> tuple[str, ...]:
    """Each refund is requested before the simulator is told of the next one."""
    return ("refund_cases",)


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"withdraw": {**NO_MATURITY, "auto_fen": 10 * AUTO_INCOME}}


async def test_real_faults_fire_their_alerts(
    api: ApiFixture,
    server: ServerProcess,
    db: Database[Document],
    receiver: Receiver,
    tmp_path: Path,
) -> None:
    faults = Faults(api, server, db)
    scrapes = [await faults.scrape()]
    await faults.refuse()
    await faults.complain()
    await faults.hold_withdrawals()
    await faults.hold_refunds()
    await faults.lose_order()
    await faults.lose_callbacks()
    await faults.lose_webhook(receiver)
    await faults.lose_tencent()
    await faults.spoil_data()
    scrapes.append(await faults.scrape(blocked_seconds=0.3))
    await faults.fail_ledger_check()
    scrapes.append(await faults.scrape())
    check_rule_tests(tmp_path, {"faults": rule_test(dict(held(scrapes)), "40m", FAULTS)})


def held(scrapes: list[Sample]) -> Iterator[tuple[str, str]]:
    """The values of each scrape for a quarter of an hour."""
    yield UP, "1x180"
    for name in scrapes[-1]:
        if name != "qlive_ledger_checked_at":  # promtool's time begins at 0
            values = " ".join(f"{scrape.get(name, '_')}x59" for scrape in scrapes)
            yield with_labels(name, job="qlive", instance="a"), values
