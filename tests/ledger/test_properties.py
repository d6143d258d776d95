"""The ledger against a simple model, under random sequences of operations.

QLIVE_EXAMPLES=long tries 50,000 different ones.
"""

from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from core.errors import QLiveError
from ledger.errors import (
    DebtExceeded,
    EntryNotFound,
    InsufficientGold,
    NotReversible,
    ReportRefused,
    RequestIdReused,
)
from ledger.gifts import BalanceChange, GiftTransfer
from ledger.journal import EventReference
from ledger.recharge import Order, Payment, Refund
from services.gold.ledger import LedgerService
from services.payments.payments import PaymentService
from tests.support.hypothesis_profiles import FEW_EXAMPLES, example_settings
from tests.support.ledger_in_memory import (
    MemoryLedgerStore,
    MemoryLocks,
    MemoryOrderStore,
    MemoryUserChannelStore,
    MemoryWebhookStore,
    run,
)

SETTINGS = example_settings(250, stateful_step_count=15)
INITIAL_BALANCES = {"anna": (60, 5), "bert": (0, 5), "carl": (0, 30)}
USERS = [*INITIAL_BALANCES]
UNITS = ("gold", "income")
HOUR_MS = 3_600_000
BEFORE_MIDNIGHT = datetime(2026, 3, 1, 15, 59, 59, 700_000, UTC)  # in China
ORDERS = [
    Order(f"Q{n}", user_id, "xpay", "wx1", "o1", "", fen=fen, gold=gold)
    for n, (user_id, fen, gold) in enumerate([("carl", 7, 20), ("bert", 9, 6), ("bert", 5, 50)])
]
USER = st.sampled_from(USERS)
BUYER = st.sampled_from(["bert", "bert", "carl"])
ORDER = st.sampled_from(ORDERS)
GOLD = st.integers(1, 40)
REQUEST_ID = st.sampled_from("xyz")
TRANSFER = st.builds(
    GiftTransfer,
    sender=USER,
    receiver=USER,
    gift_id=st.integers(1, 2),
    gold=st.integers(0, 25),
    num=st.integers(1, 2),
    rate=st.sampled_from([Decimal(0), Decimal("0.33"), Decimal("0.5"), Decimal(1)]),
    request_id=st.sampled_from(["", "", "x", "y", "z"]),
)
LIVE = st.sampled_from([None, (1, "e"), (1, "f"), (2, "e")])
BEFORE_REFUND = st.sampled_from(["nothing", "paid", "spent"])  # happens right before a refund
DELAY_MS = st.sampled_from([0, 200, 300, 600, 9 * HOUR_MS])

PendingCall = Coroutine[Any, Any, Any]
Outcome = Any
"""An answer, the type of an error, or the reason of a refused payment."""


# ---- the model


@dataclass(slots=True)
class ExpectedEntry:
    """A journal entry and the amounts it moved, by user and unit (gold, income or owed)."""

    kind: str
    moved: Counter[tuple[str, str]]
    reversed: bool = False


@dataclass(slots=True)
class Model:
    """Balances as plain sums, and the request that used each id."""

    balances: Counter[tuple[str, str]] = field(default_factory=Counter)
    entries: list[ExpectedEntry] = field(default_factory=list)
    gifts: int = 0
    used: dict[str, tuple[Any, Outcome]] = field(default_factory=dict)
    paid: set[str] = field(default_factory=set)
    """Numbers of orders; the next two are by number."""
    refunded: Counter[str] = field(default_factory=Counter)
    gold_reversed: Counter[str] = field(default_factory=Counter)
    refunds: set[str] = field(default_factory=set)

    def give(self, transfer: GiftTransfer) -> Outcome:
        request = (transfer.receiver, transfer.gift_id, transfer.num)
        name = f"{transfer.sender}/{transfer.request_id}"
        if transfer.request_id and name in self.used:
            return self.repeat(name, request)
        sender, receiver, cost = transfer.sender, transfer.receiver, cost_of(transfer)
        gold = min(self.balances[sender, "gold"], cost)
        if cost - gold > self.balances[sender, "income"]:
            return InsufficientGold
        moved = Counter({(sender, "gold"): -gold, (sender, "income"): gold - cost})
        moved[receiver, "income"] += income_of(transfer)
        self.add_entry("gift", moved)
        answer = {"status": "success", **self.balance(sender)}
        self.gifts += 1
        if transfer.request_id:
            self.used[name] = request, answer
        return answer

    def grant(self, user_id: str, gold: int, request_id: str) -> Outcome:
        name, request = f"grant/{request_id}", (user_id, gold)
        if name not in self.used:
            self.add_entry("grant", Counter({(user_id, "gold"): gold}))
            self.used[name] = request, self.balance(user_id)
        return self.repeat(name, request)

    def pay_off(self, user_id: str, gold: int, request_id: str, *, by_house: bool) -> Outcome:
        name, request = f"debt/{request_id}", (user_id, gold, by_house)
        if name in self.used:
            return self.repeat(name, request)
        if gold > self.balances[user_id, "owed"]:
            return DebtExceeded
        taken = 0 if by_house else gold
        if taken > self.balances[user_id, "gold"]:
            return InsufficientGold
        kind = "grant" if by_house else "reversal"
        self.add_entry(kind, Counter({(user_id, "gold"): -taken, (user_id, "owed"): -gold}))
        self.used[name] = request, self.balance(user_id)
        return self.used[name][1]

    def reverse(self, entry: ExpectedEntry | None, key: str) -> Outcome:
        if entry is None:
            return EntryNotFound
        if entry.kind not in ("gift", "grant"):
            return NotReversible
        if not entry.reversed:
            back = Counter({name: -amount for name, amount in entry.moved.items()})
            if any(self.balances[name] + amount < 0 for name, amount in back.items()):
                return InsufficientGold
            self.add_entry("reversal", back)
            entry.reversed = True
        return {"reverses": key}

    def pay(self, order: Order, fen: int) -> Outcome:
        if fen != order.fen:
            return "amount"
        if order.number not in self.paid:
            self.paid.add(order.number)
            self.add_entry("recharge", Counter({(order.user_id, "gold"): order.gold}))
        return None

    def refund(self, order: Order, fen: int, number: str) -> Outcome:
        user_id = order.user_id
        if number in self.refunds:
            return None
        if order.number not in self.paid:
            return "not_paid"
        if self.refunded[order.number] + fen > order.fen:
            return "amount"
        self.refunds.add(number)
        self.refunded[order.number] += fen
        reversed_in_all = order.gold * self.refunded[order.number] // order.fen
        back = reversed_in_all - self.gold_reversed[order.number]
        self.gold_reversed[order.number] = reversed_in_all
        taken = min(back, self.balances[user_id, "gold"])
        self.add_entry(
            "reversal", Counter({(user_id, "gold"): -taken, (user_id, "owed"): back - taken})
        )
        return None

    def add_entry(self, kind: str, moved: Counter[tuple[str, str]]) -> None:
        self.balances.update(moved)
        self.entries.append(ExpectedEntry(kind, moved))

    def repeat(self, name: str, request: Any) -> Outcome:
        before, answer = self.used[name]
        return answer if request == before else RequestIdReused

    def balance(self, user_id: str) -> dict[str, int]:
        return {unit: self.balances[user_id, unit] for unit in ("gold", "income")}


def cost_of(transfer: GiftTransfer) -> int:
    return transfer.gold * transfer.num


def income_of(transfer: GiftTransfer) -> int:
    return cost_of(transfer) * int(transfer.rate * 100) // 100


# ---- the state machine


class LedgerMachine(RuleBasedStateMachine):
    outcomes: ClassVar[set[Outcome]] = set()
    """Those of all runs; "answered" for any answer with data."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryLedgerStore(**INITIAL_BALANCES)
        self.store.now = BEFORE_MIDNIGHT
        self.ledger_service = LedgerService(self.store, MemoryLocks())
        self.payment_service = PaymentService(
            self.store,
            MemoryOrderStore(self.store, *ORDERS),
            MemoryUserChannelStore(),
            MemoryWebhookStore(),
            MemoryLocks(),
        )
        self.model = Model()
        for user_id, pair in INITIAL_BALANCES.items():
            for unit, amount in zip(UNITS, pair, strict=True):
                self.model.balances[user_id, unit] = amount
        self.transfers: list[GiftTransfer] = []
        self.calls: list[tuple[Callable[[], Outcome], Callable[[], PendingCall]]] = []

    @rule(transfers=st.lists(TRANSFER, min_size=1, max_size=6), live=LIVE, delay_ms=DELAY_MS)
    def gifts(
        self, transfers: list[GiftTransfer], live: tuple[int, str] | None, delay_ms: int
    ) -> None:
        self.transfers += transfers
        self.give(transfers, live, delay_ms)

    @rule(back=st.lists(st.integers(0, 9), min_size=1, max_size=4), price=GOLD, delay_ms=DELAY_MS)
    def repeated_gifts(self, back: list[int], price: int, delay_ms: int) -> None:
        """With a price that may have changed."""
        repeated = [self.transfers[-1 - n] for n in back if n < len(self.transfers)]
        self.give([replace(transfer, gold=price) for transfer in repeated], None, delay_ms)

    @rule(user_id=USER, gold=st.sampled_from([7, 40]), request_id=REQUEST_ID)
    def grant(self, user_id: str, gold: int, request_id: str) -> None:
        self.check(
            lambda: self.model.grant(user_id, gold, request_id),
            lambda: self.ledger_service.grant(user_id, gold, "a prize", request_id, "ops"),
        )

    @rule(back=st.integers(0, 9))
    def reverse(self, back: int) -> None:
        """Reverse the latest entry or an earlier one."""
        key, entry = "gift:anna:nothing", None
        if self.model.entries:
            back %= len(self.model.entries)
            key, entry = [*self.store.entries][-1 - back], self.model.entries[-1 - back]
        self.check(
            lambda: self.model.reverse(entry, key),
            lambda: self.ledger_service.reverse(key, "by mistake", "ops"),
        )

    @rule(order=ORDER, less=st.sampled_from([0, 0, 0, 1]))
    def pay(self, order: Order, less: int) -> None:
        fen = order.fen - less
        self.check(
            lambda: self.model.pay(order, fen),
            lambda: self.payment_service.credit(Payment("xpay", order.number, "42", fen)),
        )

    @rule(order=ORDER, fen=st.integers(1, 5), number=st.sampled_from("abcd"), before=BEFORE_REFUND)
    def refund(self, order: Order, fen: int, number: str, before: str) -> None:
        if before != "nothing":
            self.pay(order, less=0)
        if before == "spent":
            self.spend(order.user_id)
        self.check(
            lambda: self.model.refund(order, fen, number),
            lambda: self.payment_service.refund(Refund("xpay", order.number, number, fen)),
        )

    @precondition(lambda self: any(self.store.owed.values()))
    @rule(user_id=BUYER, over=st.integers(-5, 1), request_id=REQUEST_ID, by_house=st.booleans())
    def pay_off(self, user_id: str, over: int, request_id: str, by_house: bool) -> None:
        gold = max(1, self.store.owed.get(user_id, 0) + over)
        self.check(
            lambda: self.model.pay_off(user_id, gold, request_id, by_house=by_house),
            lambda: self.ledger_service.pay_off_debt(
                user_id, gold, "paid", request_id, "ops", by_house=by_house
            ),
        )

    @precondition(lambda self: self.calls)
    @rule(back=st.integers(0, 3))
    def repeat_call(self, back: int) -> None:
        self.check(*self.calls[-1 - back % len(self.calls)])

    def check(self, expected: Callable[[], Outcome], call: Callable[[], PendingCall]) -> None:
        """Compare the outcome of a call with that of the model."""
        self.calls.append((expected, call))
        outcome = expected()
        assert outcome_of(call()) == outcome
        self.outcomes.add("answered" if isinstance(outcome, dict) else outcome)

    def spend(self, user_id: str) -> None:
        """Spend all the user's gold."""
        gold = self.store.balances[user_id].gold
        self.give([GiftTransfer(user_id, "anna", 1, gold, 1, Decimal("0.5"))], None, 0)

    def give(
        self, transfers: Sequence[GiftTransfer], live: tuple[int, str] | None, delay_ms: int
    ) -> None:
        self.store.now += timedelta(milliseconds=delay_ms)
        before = dict(self.store.balances)
        batch = self.store.load_context(transfers)
        new_entries: list[tuple[str, EventReference | None]] = []
        users: set[str] = set()
        for transfer in transfers:
            n = self.model.gifts
            expected = self.model.give(transfer)
            event = EventReference(*live, seq=self.model.gifts) if live else None
            try:
                answer: Outcome = batch.find_answer(transfer) or batch.give(transfer, event)
            except QLiveError as refusal:
                answer = type(refusal)
            assert answer == expected
            if self.model.gifts > n:
                new_entries.append((transfer.key, event))
                users |= {transfer.sender} if cost_of(transfer) else set()
                users |= {transfer.receiver} if income_of(transfer) else set()
        assert [(entry.key, event) for entry, event in batch.entries] == new_entries
        self.store.apply_batch(batch)
        after = self.store.balances
        assert [change._replace(giver=None) for change in batch.balance_changes] == [
            BalanceChange(user_id, before[user_id], after[user_id]) for user_id in sorted(users)
        ]

    @invariant()
    def balances_equal_the_model(self) -> None:
        for user_id, balance in self.store.balances.items():
            amounts = (*balance, self.store.owed.get(user_id, 0))
            expected = [self.model.balances[user_id, name] for name in (*UNITS, "owed")]
            assert list(amounts) == expected
            assert min(amounts) >= 0

    @invariant()
    def balances_equal_the_sum_of_postings(self) -> None:
        store, sums = self.store, Counter[tuple[str, str]]()
        for entry in store.entries.values():
            for line in entry.lines:
                sums[line.account, line.unit] += line.amount
        for unit in UNITS:
            assert sum(amount for (_, of), amount in sums.items() if of == unit) == 0
        for user_id, balance in store.balances.items():
            for unit, start, now in zip(UNITS, INITIAL_BALANCES[user_id], balance, strict=True):
                assert start + sums[f"user:{user_id}", unit] == now
            assert sums[f"owed:{user_id}", "gold"] == -store.owed.get(user_id, 0)
        assert len(store.entries) == len(self.model.entries)

    @invariant()
    def rankings_equal_the_sum_of_unreversed_gifts(self) -> None:
        rankings: dict[tuple[str, str], tuple[int, int]] = {}
        for key, entry in self.store.entries.items():
            if entry.kind != "gift" or f"reversal:{key}" in self.store.entries:
                continue
            at, event = self.store.references[key]
            scopes = [f"day:{at + timedelta(hours=8):%Y-%m-%d}"]
            if event:
                scopes.append(f"live:{event.live_id}:{event.epoch}")
            for name, _, amount in entry.lines:
                kind, _, user_id = name.partition(":")
                for scope in scopes if kind == "user" else []:
                    given, received = rankings.get((scope, user_id), (0, 0))
                    rankings[scope, user_id] = given + max(-amount, 0), received + max(amount, 0)
        assert self.store.rankings == rankings


def outcome_of(call: PendingCall) -> Outcome:
    try:
        return run(call)
    except QLiveError as refusal:
        return type(refusal)
    except ReportRefused as refused:
        return refused.reason.value


def test_journal_balances_and_rankings_agree_after_random_operations() -> None:
    """The properties are worth little if the rules never cause an error."""
    outcomes = LedgerMachine.outcomes = set()
    run_state_machine_as_test(LedgerMachine, settings=SETTINGS)
    if not FEW_EXAMPLES:
        assert outcomes >= {
            *(EntryNotFound, NotReversible, RequestIdReused, InsufficientGold, DebtExceeded),
            *("amount", "not_paid", None, "answered"),
        }
