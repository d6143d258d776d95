import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ledger.recharge import ClaimedOrder, Order, Payment
from services.payments import orders
from services.payments.orders import (
    CHECK_SECONDS,
    CLAIM_LEASE,
    CLOSE_AFTER,
    GIVE_UP_AFTER,
    UnpaidOrderSweep,
)
from services.payments.payments import PaymentService
from telemetry.metrics import Metrics
from tests.support.ledger_in_memory import (
    ORDER,
    PAYMENT,
    MemoryLedgerStore,
    MemoryLocks,
    MemoryOrderStore,
    MemoryUserChannelStore,
    MemoryWebhookStore,
)
from tests.support.waiting import recorded_timeouts, until

CREATED_AT = datetime(2026, 1, 1, tzinfo=UTC)


class SweepFixture:
    """A sweep with a fake provider; stands in for the order store and records calls."""

    def __init__(self, *payments: Payment | None) -> None:
        self.payments = list(payments)
        self.claimable: list[ClaimedOrder] = []
        self.calls: list[str] = []
        self.due: datetime | None = None
        self.ledger = MemoryLedgerStore(anna=(1, 2))
        payments = PaymentService(
            self.ledger,
            MemoryOrderStore(self.ledger, ORDER),
            MemoryUserChannelStore(),
            MemoryWebhookStore(),
            MemoryLocks(),
        )
        self.sweep = UnpaidOrderSweep(
            self, payments, {"xpay": FakeProvider(self)}, Metrics().refused.callbacks
        )

    async def claim(self, provider: object, _lease: timedelta) -> ClaimedOrder | None:
        assert provider == "xpay"
        return self.claimable.pop() if self.claimable else None

    async def postpone(self, number: str, at: datetime) -> None:
        assert number == "Q1"
        self.due = at

    async def close(self, number: str) -> None:
        self.calls.append(f"{number} closed")

    async def delivered(self, number: str) -> None:
        self.calls.append(f"{number} delivered")

    async def dispute(self, number: str, reason: str) -> None:
        self.calls.append(f"{number}: {reason}")

    async def check(self, age: timedelta, order: Order) -> str:
        return await self.sweep.check(ClaimedOrder(order, CREATED_AT), CREATED_AT + age)


class FakeProvider:
    def __init__(self, fixture: SweepFixture) -> None:
        self.fixture = fixture

    async def query(self, order: Order) -> Payment | None:
        self._record("query", order)
        return self.fixture.payments.pop(0)

    async def close(self, order: Order) -> None:
        self._record("close", order)

    async def deliver(self, order: Order) -> None:
        self._record("deliver", order)

    def _record(self, call: str, order: Order) -> None:
        assert order.number == "Q1"
        self.fixture.calls.append(call)


MINUTE = timedelta(minutes=1)
PAID = replace(ORDER, state="paid")
WRONG = replace(PAYMENT, fen=1)
UNCONFIGURED = replace(ORDER, provider="gone")


@pytest.mark.parametrize(
    ("order", "age", "payments", "outcome", "calls"),
    [
        (ORDER, MINUTE, [PAYMENT], "paid", ["query"]),
        (ORDER, 3 * GIVE_UP_AFTER, [PAYMENT], "paid", ["close", "query"]),
        (ORDER, MINUTE, [WRONG], "amount", ["query", "Q1: amount"]),
        (ORDER, CLOSE_AFTER - MINUTE, [None], "later", ["query"]),
        (ORDER, CLOSE_AFTER, [None], "closed", ["close", "query", "Q1 closed"]),
        (PAID, 2 * GIVE_UP_AFTER, [], "delivered", ["deliver", "Q1 delivered"]),
        (UNCONFIGURED, MINUTE, [], "closed", ["Q1 closed"]),
    ],
    ids=[
        *("paid", "paid before it is closed", "disputed", "unpaid", "unpaid for hours"),
        *("delivery", "unconfigured provider"),
    ],
)
async def test_an_order_is_checked_until_it_is_paid_or_closed(
    order: Order, age: timedelta, payments: list[Payment | None], outcome: str, calls: list[str]
) -> None:
    fixture = SweepFixture(*payments)
    assert await fixture.check(age, order) == outcome
    assert fixture.calls == calls
    assert fixture.due == (CREATED_AT + CLOSE_AFTER if outcome == "later" else None)
    assert fixture.ledger.balances["anna"].gold == (61 if outcome == "paid" else 1)


async def test_a_provider_without_answer_is_asked_again_for_a_day() -> None:
    fixture = SweepFixture()
    postpone, hour = fixture.sweep.postpone, timedelta(hours=1)
    for order in (ORDER, PAID):
        claimed = ClaimedOrder(order, CREATED_AT)
        for age, due in ((hour / 60, hour / 12), (4 * hour, 5 * hour)):
            assert await postpone(claimed, CREATED_AT + age) == "later"
            assert fixture.due == CREATED_AT + due
        assert await postpone(claimed, CREATED_AT + GIVE_UP_AFTER) == "closed"
    assert fixture.calls == ["Q1 closed", "Q1 delivered"]


async def test_a_check_ends_before_its_lease_does(monkeypatch: pytest.MonkeyPatch) -> None:
    assert timedelta(seconds=CHECK_SECONDS) < CLAIM_LEASE
    fixture, limits = SweepFixture(), recorded_timeouts(monkeypatch, orders)
    monkeypatch.setattr(FakeProvider, "query", lambda *_: asyncio.Event().wait())
    fixture.claimable.append(ClaimedOrder(ORDER, datetime.now(UTC)))
    check = asyncio.create_task(fixture.sweep.jobs["xpay"].sweep())
    await until(lambda: limits)
    limits[0].reschedule(0)
    await check
    assert fixture.due
