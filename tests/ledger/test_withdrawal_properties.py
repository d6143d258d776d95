"""Withdrawals under random sequences of operations and statements of WeChat Pay.

Every unit of income is free, held, paid or spent, never two of them; WeChat Pay pays a
withdrawal once, and one operator alone approves at most the limit of a user's day.
QLIVE_EXAMPLES=long tries 40,000 different ones.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from core.clock import day_of
from core.errors import QLiveError
from ledger.errors import (
    IncomeNotMatured,
    InsufficientGold,
    NotCancellable,
    OverLimit,
    ReportRefused,
    TooLittle,
)
from ledger.gifts import GiftBatch, GiftTransfer
from ledger.journal import JournalEntry, postings_for
from ledger.open_transfers import must_resend, must_return
from ledger.transfers import Transfer, TransferBody, TransferState
from ledger.withdrawal_requests import (
    UserDay,
    accept_request,
    matured_income,
    request_entry,
    request_key,
    request_withdrawal,
)
from ledger.withdrawals import Withdrawal, WithdrawalChange, WithdrawalState
from tests.support.hypothesis_profiles import FEW_EXAMPLES, example_settings
from tests.support.ledger_in_memory import MemoryLedgerStore, run
from tests.support.withdrawals import LIMITS, NOW, PAYEE, RATE

SETTINGS = example_settings(200, stateful_step_count=25)
USERS = ("anna", "bert")
MATURITY = timedelta(days=7)
GIFT_RATE = Decimal("0.5")
SMALL = replace(LIMITS, min_fen=50, max_fen=1_000, user_day_fen=2_000, second_person_fen=500)
State = TransferState
OPEN_AT_BANK = (State.ACCEPTED, State.PROCESSING, State.WAIT_USER_CONFIRM, State.TRANSFERING)
USER = st.sampled_from(USERS)
PICK = st.integers(0, 7)
FATE = st.sampled_from(["requested", "sent", "submitted", "paid"])


@dataclass(slots=True)
class Bank:
    """WeChat Pay: a number has one body and one outcome."""

    bodies: dict[str, str] = field(default_factory=dict)
    states: dict[str, TransferState] = field(default_factory=dict)
    statements: list[Transfer] = field(default_factory=list)
    """Every statement about a transfer: each may arrive late, and again."""

    def create(self, number: str, fen: int, openid: str, body: str) -> None:
        assert self.bodies.setdefault(number, body) == body
        if number not in self.states:
            self.note(number, State.ACCEPTED, fen, openid)

    def note(self, number: str, state: TransferState, fen: int, openid: str) -> None:
        self.states[number] = state
        self.statements.append(Transfer(number, state, f"1{number}", fen, openid))


class WithdrawalMachine(RuleBasedStateMachine):
    reached: ClassVar[set[Any]] = set()
    """States of withdrawals, and types of refusals, in all runs."""

    def __init__(self, ledger: MemoryLedgerStore | None = None) -> None:
        super().__init__()
        self.now = NOW
        self.ledger: Any = ledger or MemoryLedgerStore(**dict.fromkeys(USERS, (0, 0)))
        self.balances, self.entries = self.ledger.balances, self.ledger.entries
        self.credits: list[tuple[str, int, Any]] = []
        """(receiver, income, time) of each gift."""
        self.withdrawals: list[Withdrawal] = []
        self.bank = Bank()

    # ---- operations

    @initialize(incomes=st.lists(st.integers(5, 90), min_size=1, max_size=3), fate=FATE)
    def start_with_income(self, incomes: list[int], fate: str) -> None:
        """Matured income, and withdrawals of it: random rules alone seldom get that far."""
        self.recharge("anna", 500)
        self.give("anna", "bert", 500)
        self.wait(170)
        for request_id, income in zip("abc", incomes, strict=False):
            self.request("bert", income, request_id)
        self.bring_first_to(fate)

    @rule(user=USER, gold=st.integers(1, 500))
    def recharge(self, user: str, gold: int) -> None:
        key = f"recharge:{len(self.entries)}"
        self.record(JournalEntry(key, "recharge", "xpay", postings_for(user, gold), {}))

    @rule(sender=USER, receiver=USER, gold=st.integers(1, 400))
    def give(self, sender: str, receiver: str, gold: int) -> None:
        """Spends income, too, once the gold is spent."""
        batch = GiftBatch(self.now, dict(self.balances))
        with suppress(InsufficientGold):
            batch.give(GiftTransfer(sender, receiver, 1, gold, 1, GIFT_RATE), None)
        for entry, _ in batch.entries:
            self.record(entry)
            self.credits.append((receiver, int(gold * GIFT_RATE), self.now))

    @rule(hours=st.sampled_from([1, 24, 170]))
    def wait(self, hours: int) -> None:
        self.now += timedelta(hours=hours)
        self.ledger.now = self.now

    @rule(user=USER, income=st.integers(1, 150), request_id=st.sampled_from("abcdef"))
    def request(self, user: str, income: int, request_id: str) -> None:
        if request_key(user, request_id) in self.entries:
            return
        since = self.now - MATURITY
        recent = sum(n for receiver, n, at in self.credits if receiver == user and at >= since)
        matured = matured_income(self.balances[user].income, recent, self.owed(user))
        id_ = f"W{len(self.withdrawals):08}"
        payee = replace(PAYEE, user_id=user)
        with self.refusals():
            withdrawal = request_withdrawal(id_, payee, request_id, income, RATE, SMALL, self.now)
            try:
                withdrawal = accept_request(
                    withdrawal, SMALL, self.day(user), matured=matured, has_real_name=False
                )
            except IncomeNotMatured:
                assert withdrawal.income > self.balances[user].income - recent - self.owed(user)
                raise
            self.record(request_entry(withdrawal, income))
            self.withdrawals.append(withdrawal)

    @rule(pick=PICK, by=st.sampled_from(["finn", "olga"]))
    def approve(self, pick: int, by: str) -> None:
        for index, withdrawal in self.picked(pick):
            if withdrawal.state == WithdrawalState.REQUESTED and by not in withdrawal.approvals:
                self.withdrawals[index] = withdrawal.approve(by)

    @rule(pick=PICK, by=st.sampled_from(["finn", "user"]))
    def give_back(self, pick: int, by: str) -> None:
        for index, withdrawal in self.picked(pick):
            with self.refusals():
                self.apply(index, withdrawal.give_back(by, "why", self.now))

    @rule(pick=PICK, arrives=st.booleans(), refusal=st.sampled_from(["", "", "NO_AUTH"]))
    def submit(self, pick: int, arrives: bool, refusal: str = "") -> None:
        """The body is kept before it is sent, and may be lost on the way or refused."""
        for index, withdrawal in self.picked(pick):
            if withdrawal.state == WithdrawalState.APPROVED:
                changed = withdrawal.submit(TransferBody(f"{self.now}"), self.now)
                self.withdrawals[index] = changed
                if refusal:
                    self.withdrawals[index] = changed.note_refusal(refusal)
                elif arrives:
                    self.send(changed)

    @rule(pick=PICK)
    def sweep(self, pick: int) -> None:
        """Query a submitted withdrawal; send it again or cancel it as the rules say."""
        for index, withdrawal in self.picked(pick):
            if not withdrawal.state.is_at_wechat:
                continue
            stated = self.newest(withdrawal.id)
            if stated is None:
                self.miss(index)
            else:
                self.apply_statement(stated)
            queried = self.withdrawals[index]
            if must_resend(queried, stated, self.now):
                self.withdrawals[index] = queried.resend(queried.sent_body, self.now)
                self.send(queried)
            if self.withdrawals[index].is_cancelling:
                self.move(queried.id, State.CANCELLED)

    # ---- WeChat Pay

    @rule(
        pick=PICK,
        state=st.sampled_from([*OPEN_AT_BANK, State.SUCCESS, State.SUCCESS, State.FAIL]),
    )
    def progress(self, pick: int, state: TransferState) -> None:
        """The user confirms, ignores or loses a transfer."""
        if self.bank.states:
            self.move([*self.bank.states][pick % len(self.bank.states)], state)

    @rule(pick=st.integers(0, 30), wrong=st.sampled_from(["", "", "", "amount", "payee", "bill"]))
    def receive_statement(self, pick: int, wrong: str) -> None:
        """A statement arrives: the latest, a late one, one again, or a wrong one."""
        if not self.bank.statements:
            return
        stated = self.bank.statements[-1 - pick % len(self.bank.statements)]
        changed = {
            "amount": {"fen": 1},
            "payee": {"openid": "o2"},
            "bill": {"number": "W0000000099"},
        }
        if not wrong:
            self.apply_statement(stated)
            return
        before = list(self.withdrawals)
        self.apply_statement(replace(stated, **changed[wrong]))
        assert self.withdrawals == before

    # ---- steps

    @contextmanager
    def refusals(self) -> Iterator[None]:
        try:
            yield
        except (QLiveError, ReportRefused) as refusal:
            self.reached.add(type(refusal))

    def bring_first_to(self, fate: str) -> None:
        """Bring the first withdrawal to WeChat Pay, if there is one, or to its payment."""
        if fate == "requested" or not self.withdrawals:
            return
        for by in ("finn", "olga"):
            self.approve(0, by)
        self.submit(0, arrives=True)
        if fate == "sent":
            return
        paid = fate == "paid"
        self.move(self.withdrawals[0].id, State.SUCCESS if paid else State.WAIT_USER_CONFIRM)
        self.sweep(0)

    def owed(self, user: str) -> int:
        income: int = self.ledger.owed_income.get(user, 0)
        return income

    def day(self, user: str) -> UserDay:
        """The withdrawals of a user today."""
        today = [
            withdrawal.counted_fen
            for withdrawal in self.withdrawals
            if (withdrawal.user_id, day_of(withdrawal.requested_at)) == (user, day_of(self.now))
        ]
        return UserDay(len(today), sum(today))

    def miss(self, index: int) -> None:
        """A query does not find the transfer, which may be one that WeChat Pay refused."""
        withdrawal = self.withdrawals[index].note_missing(self.now)
        self.withdrawals[index] = withdrawal
        if must_return(withdrawal, self.now):
            self.apply(index, withdrawal.return_missing(self.now))

    def picked(self, pick: int) -> list[tuple[int, Withdrawal]]:
        if not self.withdrawals:
            return []
        index = pick % len(self.withdrawals)
        return [(index, self.withdrawals[index])]

    def send(self, withdrawal: Withdrawal) -> None:
        self.bank.create(withdrawal.id, withdrawal.fen, withdrawal.openid, withdrawal.body)

    def newest(self, number: str) -> Transfer | None:
        newest_first = reversed(self.bank.statements)
        return next((stated for stated in newest_first if stated.number == number), None)

    def move(self, number: str, state: TransferState) -> None:
        last = self.newest(number)
        if last and last.state in OPEN_AT_BANK:
            self.bank.note(number, state, last.fen or 0, last.openid or "")

    def apply_statement(self, stated: Transfer) -> None:
        for index, withdrawal in enumerate(self.withdrawals):
            if stated.number == withdrawal.id:
                with self.refusals():
                    self.apply(index, withdrawal.apply(stated, self.now))

    def apply(self, index: int, change: WithdrawalChange) -> None:
        before = self.withdrawals[index]
        assert before.is_open or change == WithdrawalChange(before)
        self.withdrawals[index] = change.withdrawal
        if change.entry:
            self.record(change.entry)

    def record(self, entry: JournalEntry) -> None:
        run(self.ledger.post("tx", entry))

    # ---- invariants

    @invariant()
    def accounts_are_never_negative_and_sum_to_zero(self) -> None:
        sums = Counter[tuple[str, str]]()
        for entry in self.entries.values():
            for account, unit, amount in entry.lines:
                sums[account, unit] += amount
        for unit in ("gold", "income"):
            assert sum(n for (_, of), n in sums.items() if of == unit) == 0
        for user, balance in self.balances.items():
            assert min(balance) >= 0
            assert balance == (sums[f"user:{user}", "gold"], sums[f"user:{user}", "income"])
        for withdrawal in self.withdrawals:
            self.reached.add(withdrawal.state)
            held = withdrawal.income if withdrawal.is_open else 0
            assert sums[f"held:{withdrawal.id}", "income"] == held >= 0

    @invariant()
    def a_withdrawal_has_one_outcome(self) -> None:
        for withdrawal in self.withdrawals:
            paid, back = (
                f"{kind}:{withdrawal.id}" in self.entries for kind in ("payout", "return")
            )
            assert paid == (withdrawal.state == WithdrawalState.PAID)
            assert back == (withdrawal.state == WithdrawalState.RETURNED)

    @invariant()
    def the_bank_and_the_journal_agree(self) -> None:
        """WeChat Pay has paid what the journal recorded as paid, and nothing that it returned."""
        for withdrawal in self.withdrawals:
            state = self.bank.states.get(withdrawal.id)
            if withdrawal.state == WithdrawalState.PAID:
                assert state == State.SUCCESS
            if withdrawal.state == WithdrawalState.RETURNED:
                assert state in (None, State.FAIL, State.CANCELLED)
            if withdrawal.id in self.bank.bodies:
                assert withdrawal.body == self.bank.bodies[withdrawal.id]

    @invariant()
    def the_limits_of_a_day_hold(self) -> None:
        counted, alone = Counter[Any](), Counter[Any]()
        for withdrawal in self.withdrawals:
            key = withdrawal.user_id, day_of(withdrawal.requested_at)
            counted[key] += withdrawal.counted_fen
            if withdrawal.operators_needed < 2:
                alone[key] += withdrawal.counted_fen
        assert all(fen <= SMALL.user_day_fen for fen in counted.values())
        assert all(fen <= SMALL.second_person_fen for fen in alone.values())


def test_income_is_free_held_paid_or_spent_after_random_operations() -> None:
    """The properties are worth little if the rules never get that far."""
    reached = WithdrawalMachine.reached = set()
    run_state_machine_as_test(WithdrawalMachine, settings=SETTINGS)
    if not FEW_EXAMPLES:
        assert reached >= {
            *WithdrawalState,
            *(TooLittle, OverLimit, IncomeNotMatured, NotCancellable, ReportRefused),
        }
