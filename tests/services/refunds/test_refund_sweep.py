"""A refund case survives the death of its process after each step."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from core.errors import TryAgain
from ledger.recharge import Order, RefundState
from ledger.refund_cases import RefundCase
from storage.database import Document, Session
from storage.gold.ledger import LedgerStore
from storage.refund_cases import RefundCaseStore
from tencent.errors import ServiceUnavailable
from tests.support.refunds import Desk, RefundFixture, RefundProcess
from tests.support.storage import StoresFixture

T = TypeVar("T")
MOST_STEPS = 60


class Killed(BaseException):
    """The process is gone."""


class Fuse:
    """Kills after steps; one that leaves no trace in the database only the first time."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self._survived: set[tuple[Any, ...]] = set()

    def burn(self, step: str) -> None:
        self.steps.append(step)
        raise Killed

    def burn_once(self, step: str, *arguments: Any) -> None:
        if (step, *arguments) not in self._survived:
            self._survived.add((step, *arguments))
            self.burn(step)


class FusedLedgerStore(LedgerStore):
    fuse: Fuse

    async def run_transaction(self, work: Callable[[Session], Awaitable[T]]) -> T:
        result = await super().run_transaction(work)
        self.fuse.burn("transaction")
        return result


class FusedCaseStore(RefundCaseStore):
    fuse: Fuse

    async def save(self, session: Session | None, *arguments: Any) -> RefundCase:
        saved = await super().save(session, *arguments)
        if session is None:
            self.fuse.burn("save")
        return saved


class FusedDesk(Desk):
    fuse: Fuse

    async def refund(self, order: Order, number: str, fen: int, reason: str) -> RefundState:
        answer = await super().refund(order, number, fen, reason)
        self.fuse.burn_once("refund", number)
        return answer


def fused_process(refunds: RefundFixture, fuse: Fuse) -> RefundProcess:
    """A process that dies after each transaction and write, and after each call once."""
    database = refunds.stores.database
    ledger = FusedLedgerStore(database, refunds.stores.rankings)
    cases, desk = FusedCaseStore(database), FusedDesk(refunds=refunds.desk.refunds)
    ledger.fuse = cases.fuse = desk.fuse = fuse
    process = RefundProcess(refunds.stores, refunds.bank, desk, ledger=ledger, cases=cases)
    for owner, name in ((process.withdrawals, "hold_back"), (process.payees, "resume")):
        setattr(owner, name, _fused(getattr(owner, name), name, fuse))
    return process


def _fused(call: Callable[..., Awaitable[Any]], name: str, fuse: Fuse) -> Callable[..., Any]:
    async def call_and_burn(user_id: str, argument: str) -> Any:
        result = await call(user_id, argument)
        fuse.burn_once(name, user_id)
        return result

    return call_and_burn


async def chain(refunds: RefundFixture) -> RefundCase:
    """A case on two orders: gifts to a host with free income, one with held, one with paid."""
    bert, carl, dora = refunds.hosts
    numbers = await refunds.recharge(60), await refunds.recharge(60)
    await refunds.give(bert, 40)
    await refunds.give(carl, 30)
    await refunds.give(dora, 30)
    await refunds.submit(carl, 15)
    await refunds.pay_out(dora, 10)
    return await refunds.confirm(await refunds.open(*numbers))


async def outcome(refunds: RefundFixture, case: RefundCase) -> dict[str, Any]:
    """What must not depend on how often the process was killed."""
    await refunds.check()
    found = await refunds.get(case)
    entries = [await _shape(row, refunds) for row in await refunds.stores.entries()]
    return {
        "state": found.state,
        "gifts": [(gift.state, gift.taken, gift.owed) for gift in found.gifts],
        "orders": [order.state for order in found.orders],
        "hosts": [host.stopped for host in found.hosts],
        "balances": await refunds.balances(),
        "ranking": sorted((await refunds.ranking()).values()),
        "entries": sorted(entries),
        "refunds": sorted(fen for _, fen in refunds.desk.refunds.values()),
    }


async def _shape(row: Document, refunds: RefundFixture) -> tuple[str, list[tuple[str, int]]]:
    names = {refunds.giver: "anna", **dict(zip(refunds.hosts, "bcd", strict=True))}
    lines = [
        (names.get(line["account"].partition(":")[2], line["account"][:4]), line["amount"])
        for line in row["lines"]
    ]
    return row["kind"], lines


async def test_a_process_that_dies_after_each_step_leaves_the_same_end(
    refunds: RefundFixture, stores: StoresFixture
) -> None:
    case = await chain(refunds)
    await refunds.sweep()
    for position in range(2):
        await refunds.notice(case, position)
    await refunds.sweep()
    expected = await outcome(refunds, case)
    assert expected["state"] == "closed"
    for name in (
        "ledger",
        "users",
        "orders",
        "rankings",
        "withdrawals",
        "refund_cases",
        "operators",
    ):
        await stores.database.collection(name).delete_many({})

    refunds = await RefundFixture.create(stores)
    case = await chain(refunds)
    fuse = Fuse()
    while (await refunds.get(case)).checks == 0:  # until a process left it waiting
        refunds.process = fused_process(refunds, fuse)
        with pytest.raises(Killed):
            await refunds.sweep()
        assert len(fuse.steps) < MOST_STEPS, fuse.steps
    assert {"transaction", "save", "refund", "hold_back", "resume"} == {*fuse.steps}
    refunds.restart()
    for position in range(2):
        await refunds.notice(case, position)
    await refunds.sweep()
    assert await outcome(refunds, case) == expected


async def test_a_case_that_was_saved_meanwhile_is_looked_at_again(
    refunds: RefundFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a notice, or by another process after the lease has lapsed."""
    case = await refunds.confirm(await refunds.open(await refunds.recharge()))
    ask = refunds.desk.refund

    async def refund_while_the_notice_comes(*arguments: Any) -> RefundState:
        monkeypatch.setattr(refunds.desk, "refund", ask)
        await refunds.notice(case)
        return await ask(*arguments)

    monkeypatch.setattr(refunds.desk, "refund", refund_while_the_notice_comes)
    await refunds.sweep()
    assert (await refunds.get(case)).state == "closed"


async def test_a_process_that_was_overtaken_leaves_the_case_alone(
    refunds: RefundFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one has asked the provider, and set when it is asked again."""
    await refunds.confirm(await refunds.open(await refunds.recharge()))
    slow, ask = refunds.process, refunds.desk.refund

    async def refund_beside_another_process(*arguments: Any) -> RefundState:
        monkeypatch.setattr(refunds.desk, "refund", ask)
        refunds.restart()
        await refunds.sweep()
        return await ask(*arguments)

    monkeypatch.setattr(refunds.desk, "refund", refund_beside_another_process)
    await slow.sweep.sweep()
    assert refunds.desk.calls == ["refund", "refund"]


@pytest.mark.parametrize("error", [TryAgain(), ServiceUnavailable("pay")])
async def test_gifts_wait_while_withdrawals_cannot_be_held_back(
    refunds: RefundFixture, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    bert, *_ = refunds.hosts
    number = await refunds.recharge(60)
    await refunds.give(bert, 60)
    await refunds.withdraw(bert, 30)
    await refunds.confirm(await refunds.open(number))
    hold_back, attempts = refunds.process.withdrawals.hold_back, list[str]()

    async def fail_once(user_id: str, reason: str) -> bool:
        attempts.append(user_id)
        if len(attempts) == 1:
            raise error
        return await hold_back(user_id, reason)

    monkeypatch.setattr(refunds.process.withdrawals, "hold_back", fail_once)
    await refunds.sweep()
    [case] = await refunds.process.cases.with_order(number)
    assert case.gifts[0].state == "waiting"
    await refunds.sweep()
    assert (await refunds.get(case)).gifts[0].state == "reversed"
    assert len(attempts) == 2
