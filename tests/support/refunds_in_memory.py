"""Stores of refund cases in memory, on the journal of a state machine."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from ledger.journal import Balance, JournalEntry, reversal_key, user_account
from ledger.recharge import Order, Refund, RefundState, recharge_key
from ledger.refund_advice import Credit
from ledger.refund_cases import IN_PROGRESS, RefundCase
from ledger.refund_plan import GiftStep, HostIncome
from ledger.withdrawals import Withdrawal, WithdrawalState
from storage.errors import OrderInRefund
from storage.refund_cases import RefundCaseChanged

T = TypeVar("T")


@dataclass
class Books:
    """All data; a failed transaction restores them."""

    balances: dict[str, Balance]
    entries: dict[str, JournalEntry] = field(default_factory=dict)
    times: dict[str, datetime] = field(default_factory=dict)
    debts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By user and unit."""
    orders: dict[str, Order] = field(default_factory=dict)
    refunded: Counter[str] = field(default_factory=Counter)
    cases: dict[str, RefundCase] = field(default_factory=dict)
    withdrawals: list[Withdrawal] = field(default_factory=list)
    stopped: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def save(self) -> dict[str, Any]:
        saved = {name: copy(value) for name, value in vars(self).items()}
        return saved | {"stopped": {user: {*by} for user, by in self.stopped.items()}}

    def restore(self, saved: dict[str, Any]) -> None:
        """In place: others hold the same tables."""
        for name, table in vars(self).items():
            table.clear()
            add = table.extend if isinstance(table, list) else table.update
            add(saved[name])

    def book(self, entry: JournalEntry, now: datetime) -> None:
        assert entry.key not in self.entries
        self.entries[entry.key], self.times[entry.key] = entry, now
        for account, unit, amount in entry.lines:
            kind, _, user = account.partition(":")
            if kind == "user":
                balance = self.balances[user]
                self.balances[user] = balance._replace(**{unit: getattr(balance, unit) + amount})
            elif kind == "owed":
                self.debts[user, unit] -= amount


def run(call: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine without an event loop, since nothing in memory waits."""
    try:
        call.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("the call waited")


class BooksLedger:
    """LedgerStore: `write` applies the entry, balances included."""

    def __init__(self, books: Books, now: Callable[[], datetime]) -> None:
        self._books = books
        self._now = now

    async def run_transaction(self, work: Callable[[Any], Awaitable[T]]) -> T:
        before = self._books.save()
        try:
            return await work("tx")
        except BaseException:
            self._books.restore(before)
            raise

    async def find(self, key: str, _tx: Any = None) -> tuple[Any, Any] | None:
        entry = self._books.entries.get(key)
        return (entry.content, entry.answer) if entry else None

    async def entry(self, key: str) -> JournalEntry | None:
        return self._books.entries.get(key)

    async def credit_of(self, number: str) -> Credit | None:
        key = recharge_key(number)
        entry = self._books.entries.get(key)
        return Credit(number, entry.content["gold"], self._books.times[key], 0) if entry else None

    async def balance(self, _tx: Any, user_id: str) -> Balance:
        return self._books.balances[user_id]

    async def debt(self, _tx: Any, user_id: str) -> int:
        return self._books.debts[user_id, "gold"]

    async def move(self, _tx: Any, _lines: Any) -> None:
        """`write` does it."""

    async def write(self, _tx: Any, entry: JournalEntry, _event: None) -> None:
        self._books.book(entry, self._now())

    async def subtract_from_rankings(self, _tx: Any, key: str) -> None:
        assert key in self._books.entries


class BooksOrders:
    """OrderStore."""

    def __init__(self, books: Books) -> None:
        self._books = books

    async def find(self, number: str, _tx: Any = None) -> Order | None:
        return self._books.orders.get(number)

    async def refunded_fen(self, number: str, _tx: Any = None) -> int:
        return self._books.refunded[number]

    async def refund(self, _tx: Any, number: str, refund: Refund) -> int:
        before = self._books.refunded[number]
        self._books.refunded[number] += refund.fen
        return before


class BooksSpentGold:
    """SpentGoldStore."""

    def __init__(self, books: Books) -> None:
        self._books = books

    async def gifts(self, _tx: Any, user_id: str, since: datetime) -> AsyncIterator[GiftStep]:
        books = self._books
        for entry in reversed([*books.entries.values()]):
            at, is_gift = books.times[entry.key], (entry.kind, entry.by) == ("gift", user_id)
            if is_gift and at >= since and reversal_key(entry.key) not in books.entries:
                yield _gift_step(entry, at)

    async def incomes(self, _tx: Any, hosts: Sequence[str]) -> dict[str, HostIncome]:
        found = {}
        for host in hosts:
            own = [row for row in self._books.withdrawals if row.user_id == host]
            paid = sum(row.income for row in own if row.state == WithdrawalState.PAID)
            free = self._books.balances[host].income
            held = sum(row.income for row in own if row.is_open)
            found[host] = HostIncome(free, held, paid)
        return found


class BooksCases:
    """RefundCaseStore; `due` are the cases that the next sweep claims."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self.due: list[str] = []

    async def find_request(self, request_id: str) -> RefundCase | None:
        return next((case for case in self.all if case.request_id == request_id), None)

    async def add(self, case: RefundCase) -> RefundCase:
        taken = {
            order.number
            for other in self.all
            if other.state not in ("closed", "dropped")
            for order in other.orders
        }
        if taken & {order.number for order in case.orders}:
            raise OrderInRefund
        self._books.cases[case.id] = case
        return case

    async def get(self, id_: str, _tx: Any = None) -> RefundCase:
        return self._books.cases[id_]

    async def save(
        self, _tx: Any, before: RefundCase, after: RefundCase, _due: datetime | None = None
    ) -> RefundCase:
        if self._books.cases[before.id].version != before.version:
            raise RefundCaseChanged
        self._books.cases[before.id] = replace(after, version=before.version + 1)
        return self._books.cases[before.id]

    async def claim(self, _lease: timedelta) -> RefundCase | None:
        return self._books.cases[self.due.pop()] if self.due else None

    async def with_order(self, number: str) -> list[RefundCase]:
        return [case for case in self.all if any(o.number == number for o in case.orders)]

    async def gifts_in_progress(self, user_id: str, _tx: Any) -> set[str]:
        cases = [case for case in self.all if case.user_id == user_id and case.state in IN_PROGRESS]
        return {gift.key for case in cases for gift in case.gifts if gift.state == "waiting"}

    @property
    def all(self) -> list[RefundCase]:
        return [*self._books.cases.values()]


@dataclass
class BooksDesk:
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
