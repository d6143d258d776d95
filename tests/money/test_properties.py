"""Whatever is given and granted in whatever order: nothing appears, nothing is lost."""

from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from money.book import account
from money.refusals import InsufficientGold, RequestIdReused
from money.teller import Answer, Heard, Present, Teller, Write
from tests.money.memory import Holds, MemoryBook

PEOPLE = ("anna", "bert", "carl")
START = (30, 5)


@dataclass(frozen=True)
class Grant:
    user_id: str
    gold: int
    request_id: str


PEOPLE_NAMES = st.sampled_from(PEOPLE)
GRANTS = st.builds(Grant, PEOPLE_NAMES, st.integers(1, 40), st.sampled_from("abcd"))
PRESENTS = st.builds(
    Present,
    sender=PEOPLE_NAMES,
    receiver=PEOPLE_NAMES,
    gift_id=st.integers(1, 3),
    gold=st.integers(0, 25),
    num=st.integers(1, 3),
    rate=st.sampled_from([Decimal(0), Decimal("0.33"), Decimal("0.5"), Decimal(1)]),
    request_id=st.sampled_from(["", "", "x", "y", "z"]),
    repeat_ms=st.sampled_from([0, 0, 500]),
)


class Model:
    """What should be: plain sums, and what every key was used for."""

    def __init__(self) -> None:
        self.purses = {who: list(START) for who in PEOPLE}
        self.used: dict[str, tuple[object, Answer]] = {}

    def give(self, p: Present) -> Answer | type[Exception]:
        what = (p.receiver, p.gift_id, p.num)
        key = f"{p.sender}/{p.request_id}"
        if p.request_id and key in self.used:
            asked, answer = self.used[key]
            return answer if asked == what else RequestIdReused
        if not p.request_id and p.repeat_ms:
            mine = (v for k, v in self.used.items() if k.startswith(f"{p.sender}/"))
            if answer := next((answer for asked, answer in mine if asked == what), None):
                return answer
        purse, cost = self.purses[p.sender], p.gold * p.num
        if cost > sum(purse):
            return InsufficientGold
        gold = min(purse[0], cost)
        purse[0] -= gold
        purse[1] -= cost - gold
        self.purses[p.receiver][1] += cost * int(p.rate * 100) // 100
        answer = {"status": "success", "gold": purse[0], "income": purse[1]}
        self.used[key if p.request_id else f"{key}{len(self.used)}"] = (what, answer)
        return answer

    def grant(self, grant: Grant) -> Answer | type[Exception]:
        what, key = (grant.user_id, grant.gold), f"ops:{grant.request_id}"
        if key in self.used:
            asked, answer = self.used[key]
            return answer if asked == what else RequestIdReused
        purse = self.purses[grant.user_id]
        purse[0] += grant.gold
        self.used[key] = (what, {"gold": purse[0], "income": purse[1]})
        return self.used[key][1]


async def carry_out(deed: Present | Grant, teller: Teller, book: MemoryBook) -> object:
    async def tell(write: Write) -> Answer | None:
        """A room hears of every second present."""
        if len(book.entries) % 2:
            return None
        return await book.alone(lambda tx: write(tx, Heard(1, "e", 1)))

    try:
        if isinstance(deed, Present):
            return await teller.give(deed, tell)
        return await teller.grant(deed.user_id, deed.gold, "why", deed.request_id, "ops")
    except (InsufficientGold, RequestIdReused) as refusal:
        return type(refusal)


@settings(max_examples=500, derandomize=True, deadline=None, database=None)
@given(st.lists(st.one_of(PRESENTS, PRESENTS, GRANTS), min_size=5, max_size=30))
def test_balances_are_the_fold_of_the_book(deeds: list[Present | Grant]) -> None:
    model, book = Model(), MemoryBook(**dict.fromkeys(PEOPLE, START))
    teller = Teller(book, Holds())
    for deed in deeds:
        expected = model.give(deed) if isinstance(deed, Present) else model.grant(deed)
        assert at_once(carry_out(deed, teller, book)) == expected
        check(model, book)


def at_once(deed: Coroutine[None, None, object]) -> object:
    """Nothing in memory waits, so no event loop is needed."""
    try:
        deed.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waited")


def check(model: Model, book: MemoryBook) -> None:
    folded: Counter[tuple[str, str]] = Counter()
    for entry in book.entries.values():
        for line in entry.lines:
            folded[line.account, line.unit] += line.amount
    for unit in ("gold", "income"):
        assert sum(n for (_, of), n in folded.items() if of == unit) == 0
    for who, purse in book.purses.items():
        assert list(purse) == model.purses[who]
        assert min(purse) >= 0
        for unit, start, now in zip(("gold", "income"), START, purse, strict=True):
            assert start + folded[account(who), unit] == now
