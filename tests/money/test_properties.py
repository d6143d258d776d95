"""Whatever is done in whatever order: nothing appears, nothing is lost, nothing happens twice.

250 runs meet every answer and every refusal; QLIVE_EXAMPLES=long tries 50,000, other ones each
time.
"""

from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from money.book import Entry, Heard
from money.cashier import Cashier
from money.gift import Present
from money.recharge import Order, Payment, PaymentRefused, Refund
from money.refusals import (
    InsufficientGold,
    NoSuchEntry,
    NotOwed,
    NotReversible,
    Refusal,
    RequestIdReused,
)
from money.teller import Teller
from money.tray import Move
from tests.examples import example_settings
from tests.money.memory import Holds, MemoryBook, MemoryTill

SETTINGS = example_settings(250, stateful_step_count=15)
START = {"anna": (60, 5), "bert": (0, 5), "carl": (0, 30)}
PEOPLE = [*START]
UNITS = ("gold", "income")
HOURS = 3_600_000
NEARLY_MIDNIGHT = datetime(2026, 3, 1, 15, 59, 59, 700_000, UTC)
"""In China."""
ORDERS = [
    Order(f"Q{n}", who, "xpay", "wx1", "o1", "", fen=fen, gold=gold)
    for n, (who, fen, gold) in enumerate([("carl", 7, 20), ("bert", 9, 6), ("bert", 5, 50)])
]
PERSON = st.sampled_from(PEOPLE)
BUYER = st.sampled_from(["bert", "bert", "carl"])
ORDER = st.sampled_from(ORDERS)
GOLD = st.integers(1, 40)
REQUEST_ID = st.sampled_from("xyz")
PRESENT = st.builds(
    Present,
    sender=PERSON,
    receiver=PERSON,
    gift_id=st.integers(1, 2),
    gold=st.integers(0, 25),
    num=st.integers(1, 2),
    rate=st.sampled_from([Decimal(0), Decimal("0.33"), Decimal("0.5"), Decimal(1)]),
    request_id=st.sampled_from(["", "", "x", "y", "z"]),
    repeat_ms=st.sampled_from([0, 500]),
)
LIVE = st.sampled_from([None, (1, "e"), (1, "f"), (2, "e")])
BEFORE = st.sampled_from(["nothing", "paid", "spent"])
"""What happens right before a refund."""
LATER = st.sampled_from([0, 200, 300, 600, 9 * HOURS])
"""In ms."""

Doing = Coroutine[Any, Any, Any]
Outcome = Any
"""An answer, the kind of a refusal, or the word of a refused payment."""


# ---- what should be


@dataclass(slots=True)
class Deed:
    """What stands in the book, and what it has moved: by person and by gold, income or owed."""

    kind: str
    moved: Counter[tuple[str, str]]
    reversed: bool = False


@dataclass(slots=True)
class Given:
    present: Present
    at: datetime
    answer: Outcome


@dataclass(slots=True)
class Sale:
    """What has become of an order."""

    paid: bool = False
    fen_back: int = 0
    gold_back: int = 0


@dataclass(slots=True)
class Model:
    """Plain sums, and what every id was used for."""

    has: Counter[tuple[str, str]]
    deeds: list[Deed] = field(default_factory=list)
    gifts: list[Given] = field(default_factory=list)
    used: dict[str, tuple[Any, Outcome]] = field(default_factory=dict)
    sales: dict[str, Sale] = field(default_factory=dict)
    refunds: set[str] = field(default_factory=set)

    def give(self, present: Present, at: datetime) -> Outcome:
        asked = (present.receiver, present.gift_id, present.num)
        name = f"{present.sender}/{present.request_id}"
        if present.request_id and name in self.used:
            return self.again(name, asked)
        if not present.request_id and present.repeat_ms:
            window = timedelta(milliseconds=present.repeat_ms)
            for given in reversed(self.gifts):
                before = given.present
                if (before.receiver, before.gift_id, before.num) == asked and (
                    before.sender == present.sender and at - given.at <= window
                ):
                    return given.answer
        sender, receiver, cost = present.sender, present.receiver, costs(present)
        gold = min(self.has[sender, "gold"], cost)
        if cost - gold > self.has[sender, "income"]:
            return InsufficientGold
        moved = Counter({(sender, "gold"): -gold, (sender, "income"): gold - cost})
        moved[receiver, "income"] += earns(present)
        self.do("gift", moved)
        answer = {"status": "success", **self.purse(sender)}
        self.gifts.append(Given(present, at, answer))
        if present.request_id:
            self.used[name] = asked, answer
        return answer

    def grant(self, who: str, gold: int, request_id: str) -> Outcome:
        name, asked = f"grant/{request_id}", (who, gold)
        if name not in self.used:
            self.do("grant", Counter({(who, "gold"): gold}))
            self.used[name] = asked, self.purse(who)
        return self.again(name, asked)

    def settle(self, who: str, gold: int, request_id: str, *, by_house: bool) -> Outcome:
        name, asked = f"settle/{request_id}", (who, gold, by_house)
        if name in self.used:
            return self.again(name, asked)
        if gold > self.has[who, "owed"]:
            return NotOwed
        taken = 0 if by_house else gold
        if taken > self.has[who, "gold"]:
            return InsufficientGold
        kind = "grant" if by_house else "reversal"
        self.do(kind, Counter({(who, "gold"): -taken, (who, "owed"): -gold}))
        self.used[name] = asked, self.purse(who)
        return self.used[name][1]

    def reverse(self, deed: Deed | None, key: str) -> Outcome:
        if deed is None:
            return NoSuchEntry
        if deed.kind not in ("gift", "grant"):
            return NotReversible
        if not deed.reversed:
            back = Counter({name: -amount for name, amount in deed.moved.items()})
            if any(self.has[name] + amount < 0 for name, amount in back.items()):
                return InsufficientGold
            self.do("reversal", back)
            deed.reversed = True
        return {"reverses": key}

    def pay(self, order: Order, fen: int) -> Outcome:
        if fen != order.fen:
            return "amount"
        sale = self.sales[order.number]
        if sale.paid:
            return False
        sale.paid = True
        self.do("recharge", Counter({(order.user_id, "gold"): order.gold}))
        return True

    def refund(self, order: Order, fen: int, number: str) -> Outcome:
        sale, who = self.sales[order.number], order.user_id
        if number in self.refunds:
            return False
        if not sale.paid:
            return "not_paid"
        if sale.fen_back + fen > order.fen:
            return "amount"
        self.refunds.add(number)
        sale.fen_back += fen
        back = order.gold * sale.fen_back // order.fen - sale.gold_back
        sale.gold_back += back
        taken = min(back, self.has[who, "gold"])
        self.do("reversal", Counter({(who, "gold"): -taken, (who, "owed"): back - taken}))
        return True

    def do(self, kind: str, moved: Counter[tuple[str, str]]) -> None:
        self.has.update(moved)
        self.deeds.append(Deed(kind, moved))

    def again(self, name: str, asked: Any) -> Outcome:
        before, answer = self.used[name]
        return answer if asked == before else RequestIdReused

    def purse(self, who: str) -> dict[str, int]:
        return {unit: self.has[who, unit] for unit in ("gold", "income")}


def costs(present: Present) -> int:
    return present.gold * present.num


def earns(present: Present) -> int:
    return costs(present) * int(present.rate * 100) // 100


# ---- what is


class Money(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.book = MemoryBook(**START)
        self.book.now = NEARLY_MIDNIGHT
        self.teller = Teller(self.book, Holds())
        self.cashier = Cashier(self.book, MemoryTill(self.book, *ORDERS), Holds())
        has = Counter(
            {(who, unit): n for who in PEOPLE for unit, n in zip(UNITS, START[who], strict=True)}
        )
        self.model = Model(has, sales={order.number: Sale() for order in ORDERS})
        self.presents: list[Present] = []
        self.outcomes: list[Outcome] = []
        self.asks: list[tuple[Callable[[], Outcome], Callable[[], Doing]]] = []

    @rule(presents=st.lists(PRESENT, min_size=1, max_size=6), live=LIVE, later=LATER)
    def gifts(self, presents: list[Present], live: tuple[int, str] | None, later: int) -> None:
        self.presents += presents
        self.give(presents, live, later)

    @rule(back=st.lists(st.integers(0, 9), min_size=1, max_size=4), price=GOLD, later=LATER)
    def gifts_that_were_asked_for_before(self, back: list[int], price: int, later: int) -> None:
        """The price may be another one by now."""
        asked = [self.presents[-1 - n] for n in back if n < len(self.presents)]
        self.give([replace(present, gold=price) for present in asked], None, later)

    @rule(who=PERSON, gold=st.sampled_from([7, 40]), request_id=REQUEST_ID)
    def grant(self, who: str, gold: int, request_id: str) -> None:
        self.ask(
            lambda: self.model.grant(who, gold, request_id),
            lambda: self.teller.grant(who, gold, "a prize", request_id, "ops"),
        )

    @rule(back=st.integers(0, 9))
    def reverse(self, back: int) -> None:
        """The latest entry, or one before it."""
        key, deed = "gift:anna:nothing", None
        if self.model.deeds:
            back %= len(self.model.deeds)
            key, deed = [*self.book.entries][-1 - back], self.model.deeds[-1 - back]
        self.ask(
            lambda: self.model.reverse(deed, key),
            lambda: self.teller.reverse(key, "by mistake", "ops"),
        )

    @rule(order=ORDER, less=st.sampled_from([0, 0, 0, 1]))
    def pay(self, order: Order, less: int) -> None:
        fen = order.fen - less
        self.ask(
            lambda: self.model.pay(order, fen),
            lambda: self.cashier.credit(Payment("xpay", order.number, "42", fen)),
        )

    @rule(order=ORDER, fen=st.integers(1, 5), number=st.sampled_from("abcd"), before=BEFORE)
    def refund(self, order: Order, fen: int, number: str, before: str) -> None:
        if before != "nothing":
            self.pay(order, less=0)
        if before == "spent":
            self.spend(order.user_id)
        self.ask(
            lambda: self.model.refund(order, fen, number),
            lambda: self.cashier.refund(Refund("xpay", order.number, number, fen)),
        )

    @precondition(lambda self: any(self.book.owed.values()))
    @rule(who=BUYER, over=st.integers(-5, 1), request_id=REQUEST_ID, by_house=st.booleans())
    def settle(self, who: str, over: int, request_id: str, by_house: bool) -> None:
        gold = max(1, self.book.owed.get(who, 0) + over)
        self.ask(
            lambda: self.model.settle(who, gold, request_id, by_house=by_house),
            lambda: self.teller.settle(who, gold, "paid", request_id, "ops", by_house=by_house),
        )

    @precondition(lambda self: self.asks)
    @rule(back=st.integers(0, 3))
    def ask_again(self, back: int) -> None:
        self.ask(*self.asks[-1 - back % len(self.asks)])

    def ask(self, expected: Callable[[], Outcome], deed: Callable[[], Doing]) -> None:
        self.asks.append((expected, deed))
        expects = expected()
        self.outcomes.append(expects)
        assert outcome(deed()) == expects

    def spend(self, who: str) -> None:
        """All the gold that they have."""
        gold = self.book.purses[who].gold
        self.give([Present(who, "anna", 1, gold, 1, Decimal("0.5"))], None, 0)

    def give(self, presents: Sequence[Present], live: tuple[int, str] | None, later: int) -> None:
        self.book.now += timedelta(milliseconds=later)
        gifts, before, tray = self.model.gifts, dict(self.book.purses), self.book.look(presents)
        news: list[tuple[str, Heard | None]] = []
        went_by: set[str] = set()
        for present in presents:
            n = len(gifts)
            expected = self.model.give(present, self.book.now)
            heard = Heard(*live, seq=len(gifts)) if live else None
            answer = tray.given(present) or tray.give(present, heard)
            assert (type(answer) if isinstance(answer, Refusal) else answer) == expected
            if len(gifts) > n:
                news.append((present.key, heard))
                went_by |= {present.sender} if costs(present) else set()
                went_by |= {present.receiver} if earns(present) else set()
        assert [(entry.key, heard) for entry, heard in tray.entries] == news
        self.book.put(tray)
        after = self.book.purses
        assert tray.moves == [Move(who, before[who], after[who]) for who in sorted(went_by)]

    @invariant()
    def everybody_has_what_they_should(self) -> None:
        book, has = self.book, self.model.has
        for who, purse in book.purses.items():
            owed = book.owed.get(who, 0)
            assert (*purse, owed) == (has[who, "gold"], has[who, "income"], has[who, "owed"])
            assert min(*purse, owed) >= 0

    @invariant()
    def what_is_kept_beside_the_book_is_its_fold(self) -> None:
        book, sums = self.book, Counter[tuple[str, str]]()
        for entry in book.entries.values():
            assert sums_of(entry) == {}
            for line in entry.lines:
                sums[line.account, line.unit] += line.amount
        for unit in UNITS:
            assert sum(amount for (_, of), amount in sums.items() if of == unit) == 0
        for who, purse in book.purses.items():
            for unit, start, now in zip(UNITS, START[who], purse, strict=True):
                assert start + sums[f"user:{who}", unit] == now
            assert sums[f"owed:{who}", "gold"] == -book.owed.get(who, 0)
        assert len(book.entries) == len(self.model.deeds)

    @invariant()
    def rankings_are_the_fold_of_the_gifts_that_were_not_reversed(self) -> None:
        ranks: dict[tuple[str, str], tuple[int, int]] = {}
        for key, entry in self.book.entries.items():
            if entry.kind != "gift" or f"reversal:{key}" in self.book.entries:
                continue
            at, heard = self.book.heard[key]
            scopes = [f"day:{at + timedelta(hours=8):%Y-%m-%d}"]
            if heard:
                scopes.append(f"live:{heard.live_id}:{heard.epoch}")
            for name, _, amount in entry.lines:
                kind, _, who = name.partition(":")
                for scope in scopes if kind == "user" else []:
                    gave, took = ranks.get((scope, who), (0, 0))
                    ranks[scope, who] = gave + max(-amount, 0), took + max(amount, 0)
        assert self.book.ranks == ranks


def sums_of(entry: Entry) -> dict[str, int]:
    """By unit; nothing for a sum of zero."""
    sums = Counter[str]()
    for line in entry.lines:
        sums[line.unit] += line.amount
    return {unit: amount for unit, amount in sums.items() if amount}


def outcome(deed: Doing) -> Outcome:
    """Nothing in memory waits, so no event loop is needed."""
    try:
        deed.send(None)
    except StopIteration as done:
        return done.value
    except Refusal as refusal:
        return type(refusal)
    except PaymentRefused as refused:
        return refused.word
    raise AssertionError("it waited")


def test_whatever_is_done_the_book_the_purses_and_the_rankings_agree() -> None:
    run_state_machine_as_test(Money, settings=SETTINGS)


def test_the_rules_of_this_machine_reach_every_refusal() -> None:
    """A property of a book in which nothing is ever refused would show too little."""
    money, order = Money(), ORDERS[0]
    money.reverse(0)
    money.grant("anna", 7, "x")
    money.grant("anna", 40, "x")
    money.pay(order, less=1)
    money.refund(order, 5, "a", "nothing")
    money.pay(order, less=0)
    money.pay(order, less=0)
    money.refund(order, 5, "a", "spent")
    money.reverse(0)
    money.settle("carl", 1, "y", by_house=False)
    money.settle("carl", 0, "z", by_house=False)
    said = [it if isinstance(it, type | str | bool) else "answered" for it in money.outcomes]
    assert said == [
        *(NoSuchEntry, "answered", RequestIdReused, "amount", "not_paid", True, False),
        *(False, True, NotReversible, NotOwed, InsufficientGold),
    ]
