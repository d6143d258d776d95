import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from core.locks import NamedLocks
from ledger.recharge import Order, Payment
from services.payments import unpaid_orders
from services.payments.payments import PaymentService
from services.payments.unpaid_orders import (
    CHECK_SECONDS,
    CLAIM_LEASE,
    CONCURRENCY,
    UnpaidOrderSweep,
)
from telemetry.metrics import Metrics
from tests.support.storage import StoresFixture
from tests.support.timeouts import recorded_timeouts
from tests.support.waiting import until


class GatedProvider:
    """Answers that no order is paid, while `gate` is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.started: list[str] = []
        self.in_progress: list[str] = []
        self.most_in_progress = 0

    async def query(self, order: Order) -> Payment | None:
        self.started.append(order.number)
        assert order.number not in self.in_progress, "checked by two at once"
        self.in_progress.append(order.number)
        self.most_in_progress = max(self.most_in_progress, len(self.in_progress))
        try:
            await self.gate.wait()
        finally:
            self.in_progress.remove(order.number)
        return None

    async def close(self, order: Order) -> None:
        """Does nothing, like xpay's."""

    async def deliver(self, order: Order) -> None:
        raise NotImplementedError


class SweepFixture:
    """The sweep of a process on real stores, with two providers."""

    def __init__(self, stores: StoresFixture) -> None:
        self.orders, self.rows = stores.orders, stores.database.collection("orders")
        self.xpay, self.jsapi = GatedProvider(), GatedProvider()
        payments = PaymentService(stores.ledger, stores.orders, NamedLocks().hold)
        providers = {"xpay": self.xpay, "jsapi": self.jsapi}
        self.sweep = UnpaidOrderSweep(
            stores.orders, payments, providers, Metrics().callbacks_refused
        )
        self.outcomes: list[tuple[str, str]] = []
        """Number and outcome of each check."""

    async def add(self, count: int, provider: str = "xpay") -> list[str]:
        """Stores orders a second apart that are due, the oldest last; their numbers by age."""
        start = datetime.now(UTC) - timedelta(minutes=2)
        numbers = []
        for n in reversed(range(count)):
            number = f"{provider}{n:03}"
            order = Order(number, "anna", provider, "wx1", "o1", "", fen=600 + n, gold=60)
            await self.orders.add(order, n, 1000 * len(provider) + n)
            times = {"created_at": start + timedelta(seconds=n), "due_at": start}
            await self.rows.update_one({"_id": number}, {"$set": times})
            numbers.insert(0, number)
        return numbers

    async def run(self, lane: str = "xpay") -> None:
        with capture_logs() as logs:
            await self.sweep.jobs[lane].sweep()
        self.outcomes += [
            (entry["order"], entry["outcome"])
            for entry in logs
            if entry["event"] == "order_checked"
        ]


@pytest.fixture
def fixture(stores: StoresFixture) -> SweepFixture:
    return SweepFixture(stores)


async def test_orders_are_checked_once_the_oldest_first(fixture: SweepFixture) -> None:
    numbers = await fixture.add(3 * CONCURRENCY)
    fixture.xpay.gate.clear()
    sweeps = [asyncio.create_task(fixture.run()) for _ in range(2)]  # as in two processes
    await until(lambda: len(fixture.xpay.in_progress) == 2 * CONCURRENCY)
    assert sorted(fixture.xpay.started) == numbers[: 2 * CONCURRENCY]
    fixture.xpay.gate.set()
    await asyncio.gather(*sweeps)
    assert fixture.xpay.most_in_progress == 2 * CONCURRENCY
    assert sorted(fixture.xpay.started) == numbers
    assert sorted(fixture.outcomes) == [(number, "later") for number in numbers]


async def test_a_silent_provider_delays_only_its_own_orders(fixture: SweepFixture) -> None:
    await fixture.add(2 * CONCURRENCY, "xpay")
    await fixture.add(3, "jsapi")
    fixture.xpay.gate.clear()
    stuck = asyncio.create_task(fixture.run("xpay"))
    await until(lambda: len(fixture.xpay.in_progress) == CONCURRENCY)
    await fixture.run("jsapi")
    assert len(fixture.jsapi.started) == 3
    fixture.xpay.gate.set()
    await stuck


async def test_a_check_ends_before_its_lease_does(
    fixture: SweepFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert timedelta(seconds=CHECK_SECONDS) < CLAIM_LEASE
    limits = recorded_timeouts(monkeypatch, unpaid_orders)
    (number,) = await fixture.add(1)
    fixture.xpay.gate.clear()
    sweep = asyncio.create_task(fixture.run())
    await until(lambda: fixture.xpay.in_progress)
    limits[0].reschedule(0)
    await sweep
    assert fixture.outcomes == [(number, "later")]
    assert fixture.xpay.in_progress == []


async def test_orders_of_an_unconfigured_provider_are_closed(fixture: SweepFixture) -> None:
    (number,) = await fixture.add(1, "gone")
    await fixture.run("other")
    assert fixture.outcomes == [(number, "closed")]
    row = await fixture.rows.find_one({"_id": number})
    assert row
    assert row["state"] == "closed"
