"""Refund cases beside gifts and withdrawals, under random sequences of operations.

The services run on stores in memory. Gold and income are in one place, no gift is reversed and no
order refunded twice. 160 sequences in two parts, which may run at the same time;
QLIVE_EXAMPLES=long tries 32,000 different ones.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest
from hypothesis import seed
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule, run_state_machine_as_test
from structlog.testing import capture_logs

from core.errors import QLiveError, WriteConflict
from ledger.journal import JournalEntry, reversal_key, user_account
from ledger.recharge import Order, Payment, Refund, RefundState, recharge_entry, recharge_key
from ledger.refund_advice import Credit
from ledger.refund_cases import IN_PROGRESS, RefundCase
from ledger.refund_plan import GiftStep, HostIncome
from ledger.withdrawals import Withdrawal, WithdrawalState
from services.refunds.refund_cases import RefundCaseService
from storage.errors import OrderInRefund
from tests.ledger.test_withdrawal_properties import FATE, PICK, USER, USERS, WithdrawalMachine
from tests.support.hypothesis_profiles import FEW_EXAMPLES, LONG_PROFILE, example_settings
from tests.support.ledger_in_memory import MemoryLedgerStore, MemoryLocks, MemoryOrderStore, run

pytestmark = pytest.mark.slow

PARTS = 2
SETTINGS = example_settings(240 // PARTS, stateful_step_count=30)
OPERATOR = st.sampled_from(["olga", "pavel"])


class RefundLedgerStore(MemoryLedgerStore):
    """LedgerStore, with what only refunds read."""

    async def credit_of(self, number: str) -> Credit | None:
        key = recharge_key(number)
        entry = self.entries.get(key)
        return Credit(number, entry.content["gold"], self.references[key][0], 0) if entry else None

    async def debt(self, _tx: Any, user_id: str) -> int:
        return self.owed.get(user_id, 0)


class MemorySpentGold:
    """SpentGoldStore."""

    def __init__(self, ledger: RefundLedgerStore, withdrawals: list[Withdrawal]) -> None:
        self._ledger = ledger
        self._withdrawals = withdrawals

    async def gifts(self, _tx: Any, user_id: str, since: datetime) -> AsyncIterator[GiftStep]:
        entries = self._ledger.entries
        for entry in reversed([*entries.values()]):
            at, _ = self._ledger.references[entry.key]
            is_gift = (entry.kind, entry.by) == ("gift", user_id)
            if is_gift and at >= since and reversal_key(entry.key) not in entries:
                yield _gift_step(entry, at)

    async def incomes(self, _tx: Any, hosts: Sequence[str]) -> dict[str, HostIncome]:
        found = {}
        for host in hosts:
            own = [row for row in self._withdrawals if row.user_id == host]
            paid = sum(row.income for row in own if row.state == WithdrawalState.PAID)
            free = self._ledger.balances[host].income
            held = sum(row.income for row in own if row.is_open)
            found[host] = HostIncome(free, held, paid)
        return found


class MemoryCases:
    """RefundCaseStore; `due` are the cases that the next sweep claims."""

    def __init__(self, ledger: MemoryLedgerStore) -> None:
        self._cases: dict[str, RefundCase] = {}
        ledger.tables.append(self._cases)
        self.due: list[str] = []

    async def find_request(self, request_id: str) -> RefundCase | None:
        return next((case for case in self.all if case.request_id == request_id), None)

    async def open(self, case: RefundCase) -> RefundCase:
        taken = {
            order.number
            for other in self.all
            if other.state not in ("closed", "dropped")
            for order in other.orders
        }
        if taken & {order.number for order in case.orders}:
            raise OrderInRefund
        self._cases[case.id] = case
        return case

    async def get(self, id_: str, _tx: Any = None) -> RefundCase:
        return self._cases[id_]

    async def change(self, id_: str, rule: Callable[[RefundCase], RefundCase]) -> RefundCase:
        before = self._cases[id_]
        after = rule(before)
        return before if after == before else await self.save(before, after)

    async def save(self, before: RefundCase, after: RefundCase, _tx: Any = None) -> RefundCase:
        if self._cases[before.id].version != before.version:
            raise WriteConflict
        self._cases[before.id] = replace(after, version=before.version + 1)
        return self._cases[before.id]

    async def claim(self, _lease: timedelta) -> RefundCase | None:
        return self._cases[self.due.pop()] if self.due else None

    async def with_order(self, number: str) -> list[RefundCase]:
        return [case for case in self.all if any(o.number == number for o in case.orders)]

    async def gifts_in_progress(self, user_id: str, _tx: Any) -> set[str]:
        cases = [case for case in self.all if case.user_id == user_id and case.state in IN_PROGRESS]
        return {gift.key for case in cases for gift in case.gifts if gift.state == "waiting"}

    @property
    def all(self) -> list[RefundCase]:
        return [*self._cases.values()]


@dataclass
class MemoryDesk:
    """A provider that takes a number once."""

    refunds: dict[str, tuple[str, int]] = field(default_factory=dict)

    async def refund(self, order: Order, number: str, fen: int, _reason: str) -> RefundState:
        assert self.refunds.setdefault(number, (order.number, fen)) == (order.number, fen)
        return "pending"

    async def refund_state(self, _order: Order, number: str) -> RefundState | None:
        return "pending" if number in self.refunds else None


def _gift_step(entry: JournalEntry, at: datetime) -> GiftStep:
    giver, host = user_account(entry.by), entry.content["to"]
    gold = -sum(n for account, unit, n in entry.lines if (account, unit) == (giver, "gold"))
    income = sum(n for account, _, n in entry.lines if account == user_account(host) and n > 0)
    return GiftStep(entry.key, at, host, gold, income)


class NoLimit:
    """ApprovalService of a house where one operator is enough."""

    async def authorize(self, *_arguments: Any) -> None:
        """Allow everything."""


class RefundMachine(WithdrawalMachine):
    cases_reached: ClassVar[set[str]] = set()
    """States of cases and of their gifts, and units of debts, in all runs."""

    def __init__(self) -> None:
        super().__init__(RefundLedgerStore(**dict.fromkeys(USERS, (0, 0))))
        ledger, self.orders = self.ledger, MemoryOrderStore(self.ledger)
        self.stopped: dict[str, frozenset[str]] = dict.fromkeys(USERS, frozenset())
        ledger.tables.append(self.stopped)
        self.cases: Any = MemoryCases(ledger)
        self.desk, approvals = MemoryDesk(), cast("Any", NoLimit())
        stores: Any = SimpleNamespace(
            refund_cases=self.cases,
            orders=self.orders,
            ledger=ledger,
            spent_gold=MemorySpentGold(ledger, self.withdrawals),
            payees=self,
        )
        providers = {"xpay": self.desk}
        self.service = RefundCaseService(stores, approvals, self, providers, MemoryLocks())

    # ---- operations

    @initialize(
        gold=st.integers(50, 300),
        given=st.integers(1, 300),
        percent=st.sampled_from([30, 100]),
        fate=FATE,
        is_refunded=st.booleans(),
    )
    def start_with_income(
        self, gold: int, given: int, percent: int, fate: str, is_refunded: bool
    ) -> None:
        """Gold, gifts, and matured income of which a part may be held or paid; perhaps a refund."""
        self.recharge("anna", gold)
        self.recharge("bert", 50)
        for receiver, part in (("bert", given), ("anna", 20), ("bert", 30)):
            self.give("bert" if receiver == "anna" else "anna", receiver, part)
        self.wait(170)
        self.request("bert", self.balances["bert"].income * percent // 100, "x")
        self.bring_first_to(fate)
        if is_refunded:
            self.refund("anna", [0], 1)

    @rule(user=USER, picks=st.lists(PICK, min_size=1, max_size=3), sweeps=st.integers(0, 2))
    def refund(self, user: str, picks: list[int], sweeps: int) -> None:
        """Without anything in between."""
        self.open_case(user, picks, "olga")
        self.confirm_case(0, "pavel")
        for _ in range(sweeps):
            self.sweep_cases()

    @rule(
        user=USER,
        gold=st.integers(1, 300),
        platform=st.sampled_from(["", "", "ios"]),
        percent=st.sampled_from([100, 70]),
    )
    def recharge(self, user: str, gold: int, platform: str = "", percent: int = 100) -> None:
        """For a fen each, of which the buyer is charged perhaps less."""
        number, paid = f"Q{len(self.orders.orders)}", -(-gold * percent // 100)
        order = Order(
            *(number, user, "xpay", "wx1", "o1", "", gold, gold), platform=platform, paid_fen=paid
        )
        self.orders.orders[number], self.orders.refunded[number] = order, 0
        self.record(recharge_entry(order, Payment("xpay", number, "42", gold)))

    @rule(user=USER, income=st.integers(1, 150), request_id=st.sampled_from("abcdef"))
    def request(self, user: str, income: int, request_id: str) -> None:
        if self.stopped[user]:
            return
        before = len(self.withdrawals)
        free = self.balances[user].income - self.owed(user)
        super().request(user, income, request_id)
        assert all(new.income <= free for new in self.withdrawals[before:])

    @rule(user=USER, request_id=st.sampled_from("abcdef"))
    def request_all(self, user: str, request_id: str) -> None:
        """Of income that has grown and matured, perhaps since the user came to owe some."""
        giver = next(other for other in USERS if other != user)
        self.recharge(giver, 50)
        self.give(giver, user, 50)
        self.wait(170)
        self.request(user, self.balances[user].income, request_id)

    @rule(user=USER, picks=st.lists(PICK, min_size=1, max_size=3), by=OPERATOR)
    def open_case(self, user: str, picks: list[int], by: str) -> None:
        numbers = [no for no, order in self.orders.orders.items() if order.user_id == user]
        if numbers:
            chosen = [numbers[pick % len(numbers)] for pick in picks]
            request_id = f"request {len(self.cases.all)}"
            with suppress(QLiveError):
                run(self.service.open(user, chosen, "a minor", request_id, by))

    @rule(pick=PICK, by=OPERATOR)
    def confirm_case(self, pick: int, by: str) -> None:
        for case in self.picked_case(pick):
            with suppress(QLiveError):
                run(self.service.confirm(case.id, by, "yes"))

    @rule(pick=PICK, by=OPERATOR)
    def drop_case(self, pick: int, by: str) -> None:
        opened = [case for case in self.cases.all if case.state == "opened"]
        for case in [opened[pick % len(opened)]] if opened else self.picked_case(pick):
            with suppress(QLiveError):
                run(self.service.drop(case.id, by, "no"))

    @rule()
    def sweep_cases(self) -> None:
        self.cases.due = [case.id for case in self.cases.all if case.state in IN_PROGRESS]
        asyncio.run(self.service.job.sweep())  # it starts tasks

    @rule(pick=PICK, more=st.sampled_from([0, 0, 0, 1]))
    def refund_callback(self, pick: int, more: int) -> None:
        """WeChat's or Apple's, perhaps once more, or about another sum."""
        for case in self.picked_case(pick):
            order = case.orders[pick % len(case.orders)]
            is_ours = not order.by_apple
            if is_ours and order.refund not in self.desk.refunds:
                return
            own, id_ = order.refund if is_ours else "", f"wx-{order.refund}"
            refund = Refund("xpay", order.number, id_, order.fen + more, own=own)
            known = run(self.service.apply(refund))
            assert known or more or case.state in ("opened", "dropped")
            assert not (known and more)

    # ---- WithdrawalService and PayeeStore

    async def stop(self, _tx: Any, user: str, case_id: str) -> None:
        self.stopped[user] |= {case_id}

    async def resume(self, user: str, case_id: str) -> None:
        self.stopped[user] -= {case_id}

    async def cancel_open(self, user: str, reason: str) -> bool:
        for index, withdrawal in enumerate(self.withdrawals):
            if withdrawal.user_id == user and withdrawal.is_open:
                self.apply(index, withdrawal.give_back("refund", reason, self.now))
        return not any(left.is_open for left in self.withdrawals if left.user_id == user)

    # ---- steps

    def picked_case(self, pick: int) -> list[RefundCase]:
        cases = self.cases.all
        return [cases[-1 - pick % len(cases)]] if cases else []

    # ---- invariants

    @invariant()
    def debts_are_those_of_the_journal(self) -> None:
        sums = Counter[tuple[str, str]]()
        for entry in self.entries.values():
            for account, unit, amount in entry.lines:
                kind, _, user = account.partition(":")
                sums[user, unit] -= amount if kind == "owed" else 0
        for unit, owed in (("gold", self.ledger.owed), ("income", self.ledger.owed_income)):
            assert all(sums[user, unit] == owed.get(user, 0) >= 0 for user in USERS)
            self.cases_reached.update(f"owed {unit}" for n in owed.values() if n)

    @invariant()
    def orders_are_refunded_once(self) -> None:
        at_wechat = Counter[str]()
        for number, fen in self.desk.refunds.values():
            at_wechat[number] += fen
        for number, order in self.orders.orders.items():
            assert at_wechat[number] <= self.orders.refunded[number] <= order.charged_fen

    @invariant()
    def a_case_has_an_entry_for_each_step(self) -> None:
        for case in self.cases.all:
            self.cases_reached.update([case.state, *(f"gift {gift.state}" for gift in case.gifts)])
            moved = case.state not in ("opened", "dropped")
            for order in case.orders:
                assert (f"reversal:xpay:{order.refund}" in self.entries) == moved
            for gift in case.gifts:
                if gift.state == "reversed":
                    self.check_reversal(case, gift)
            if case.state == "closed":
                assert {order.state for order in case.orders} == {"refunded"}
                assert not case.waiting_gifts
        over = {case.id for case in self.cases.all if case.state in ("closed", "dropped", "opened")}
        assert not any(by & over for by in self.stopped.values())

    def check_reversal(self, case: RefundCase, gift: GiftStep) -> None:
        """The case states what the entry took from the host, and what the host owes."""
        entry = self.entries[f"reversal:{gift.key}"]
        owed = (f"owed:{gift.host}", "income")
        assert entry.by == case.id
        assert gift.owed == sum(-line.amount for line in entry.lines if line[:2] == owed)
        assert gift.taken + gift.owed == gift.income


@pytest.mark.parametrize("part", range(PARTS))
def test_gold_and_income_are_in_one_place_after_random_refund_cases(part: int) -> None:
    """The properties are worth little if the rules never get that far."""

    class Part(RefundMachine):
        """Sequences that begin with another random number than those of the other parts."""

    with capture_logs():
        run_state_machine_as_test(Part if LONG_PROFILE else seed(part)(Part), settings=SETTINGS)
    if not FEW_EXAMPLES:
        assert Part.cases_reached >= {
            *("opened", "dropped", "confirmed", "reversing", "refunding", "closed"),
            *("gift reversed", "gift waiting", "owed gold", "owed income"),
        }
