from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ledger.errors import (
    DebtExceeded,
    EntryNotFound,
    InsufficientGold,
    NotReversible,
    RequestIdReused,
)
from ledger.journal import Balance, EventReference, JournalEntry, JsonObject, Posting, Unit
from services.gold.ledger import LedgerService
from tests.support.ledger import TRANSFER
from tests.support.ledger_in_memory import MemoryLedgerStore, MemoryLocks


class LedgerFixture:
    """A ledger service on an in-memory store."""

    def __init__(self, **balances: tuple[int, int]) -> None:
        self.store = MemoryLedgerStore(**(balances or {"anna": (100, 10), "bert": (0, 0)}))
        self.locks = MemoryLocks()
        self.service = LedgerService(self.store, self.locks)

    def give(self, event: EventReference | None = None) -> None:
        batch = self.store.load_context([TRANSFER])
        batch.give(TRANSFER, event)
        self.store.apply_batch(batch)

    async def grant(self, gold: int = 50, request_id: str = "g1") -> JsonObject:
        return await self.service.grant("bert", gold, "a prize", request_id, "ops")

    async def reverse(self, key: str) -> JsonObject:
        return await self.service.reverse(key, "by mistake", "ops")

    async def settle(
        self, gold: int, request_id: str = "s1", *, by_house: bool = False, unit: Unit = "gold"
    ) -> JsonObject:
        return await self.service.settle_debt(
            "bert", gold, "paid", request_id, "ops", by_house=by_house, unit=unit
        )

    def race_next_find(self, call: Callable[[], Awaitable[JsonObject]]) -> list[JsonObject]:
        """Let the next lookup miss what `call` writes right after it; collects its answer."""
        find, answers = self.store.find, list[JsonObject]()

        async def find_before_call(key: str, tx: Any = None) -> Any:
            self.store.find = find
            answers.append(await call())
            return None

        self.store.find = find_before_call
        return answers


# ---- grants


async def test_granted_gold_comes_from_the_house() -> None:
    fixture = LedgerFixture()
    assert await fixture.grant() == {"gold": 50, "income": 0}
    assert fixture.store.balances == {"anna": Balance(100, 10), "bert": Balance(50, 0)}
    assert fixture.store.entries == {
        "grant:g1": JournalEntry(
            "grant:g1",
            "grant",
            "ops",
            (Posting("user:bert", "gold", 50), Posting("house", "gold", -50)),
            {"to": "bert", "gold": 50},
            {"gold": 50, "income": 0},
            "a prize",
        )
    }
    assert fixture.locks.names == [("bert",)]


async def test_a_grant_happens_once_and_its_id_cannot_be_reused() -> None:
    fixture = LedgerFixture()
    race_next_find = await fixture.grant()
    assert await fixture.grant() == race_next_find
    with pytest.raises(RequestIdReused):
        await fixture.grant(gold=51)
    await fixture.grant(request_id="g2")
    assert fixture.store.balances["bert"] == Balance(100, 0)


async def test_concurrent_identical_grants_get_the_same_answer() -> None:
    fixture = LedgerFixture()
    answers = fixture.race_next_find(fixture.grant)
    assert [await fixture.grant()] == answers == [{"gold": 50, "income": 0}]
    assert fixture.store.balances["bert"] == Balance(50, 0)
    assert len(fixture.store.entries) == 1


async def test_concurrent_grants_with_one_id_and_other_content_are_refused() -> None:
    fixture = LedgerFixture()
    fixture.race_next_find(lambda: fixture.grant(gold=51))
    with pytest.raises(RequestIdReused):
        await fixture.grant()
    assert fixture.store.balances["bert"] == Balance(51, 0)


# ---- reversals


async def test_a_reversal_restores_the_balances_once() -> None:
    fixture = LedgerFixture(anna=(15, 10), bert=(0, 0))
    fixture.give()
    for _ in range(2):
        assert await fixture.reverse("gift:anna:r1") == {"reverses": "gift:anna:r1"}
    assert fixture.store.balances == {"anna": Balance(15, 10), "bert": Balance(0, 0)}
    entry = fixture.store.entries["reversal:gift:anna:r1"]
    assert (entry.kind, entry.by, entry.note) == ("reversal", "ops", "by mistake")
    assert entry.content == entry.answer == {"reverses": "gift:anna:r1"}
    assert fixture.locks.names[-1] == ("anna", "bert")


async def test_a_reversed_gift_is_removed_from_rankings_and_others_stay() -> None:
    fixture = LedgerFixture()
    fixture.store.rankings["day:2026-03-01", "anna"] = (7, 8)
    fixture.give(EventReference(7, "e1", 42))
    assert fixture.store.rankings == {
        ("day:2026-03-01", "anna"): (27, 8),
        ("day:2026-03-01", "bert"): (0, 10),
        ("live:7:e1", "anna"): (20, 0),
        ("live:7:e1", "bert"): (0, 10),
    }
    for _ in range(2):
        await fixture.reverse("gift:anna:r1")
    assert fixture.store.rankings == {("day:2026-03-01", "anna"): (7, 8)}


async def test_a_reversal_changes_the_ranking_of_the_day_of_the_gift() -> None:
    fixture = LedgerFixture()
    fixture.give()
    fixture.store.now = fixture.store.now.replace(day=20)
    await fixture.reverse("gift:anna:r1")
    assert fixture.store.rankings == {}


async def test_concurrent_identical_reversals_take_effect_once() -> None:
    fixture = LedgerFixture(anna=(100, 10), bert=(0, 10))
    fixture.give()
    answers = fixture.race_next_find(lambda: fixture.reverse("gift:anna:r1"))
    assert [await fixture.reverse("gift:anna:r1")] == answers
    assert fixture.store.balances == {"anna": Balance(100, 10), "bert": Balance(0, 10)}
    assert len(fixture.store.entries) == 2


async def test_concurrent_identical_reversals_succeed_when_nothing_is_left() -> None:
    fixture = LedgerFixture()
    fixture.give()
    answers = fixture.race_next_find(lambda: fixture.reverse("gift:anna:r1"))
    assert [await fixture.reverse("gift:anna:r1")] == answers


async def test_a_reversal_is_refused_when_the_receiver_has_spent_the_amount() -> None:
    fixture = LedgerFixture()
    fixture.give()
    fixture.store.balances["bert"] = Balance(50, 9)
    rankings = dict(fixture.store.rankings)
    with pytest.raises(InsufficientGold):
        await fixture.reverse("gift:anna:r1")
    assert fixture.store.balances == {"anna": Balance(80, 10), "bert": Balance(50, 9)}
    assert (fixture.store.rankings, len(fixture.store.entries)) == (rankings, 1)


async def test_reversals_and_recharges_and_unknown_entries_cannot_be_reversed() -> None:
    fixture = LedgerFixture()
    await fixture.grant(50)
    await fixture.reverse("grant:g1")
    fixture.store.entries["recharge:Q1"] = JournalEntry("recharge:Q1", "recharge", "xpay", (), {})
    for key in ("reversal:grant:g1", "recharge:Q1"):
        with pytest.raises(NotReversible):
            await fixture.reverse(key)
    with pytest.raises(EntryNotFound):
        await fixture.reverse("grant:g2")


# ---- debts


async def test_a_user_settles_a_debt() -> None:
    fixture = LedgerFixture(bert=(30, 5))
    fixture.store.owed["bert"] = 20
    for _ in range(2):
        assert await fixture.settle(15) == {"gold": 15, "income": 5}
    assert (fixture.store.balances["bert"], fixture.store.owed["bert"]) == (Balance(15, 5), 5)
    assert fixture.store.entries == {
        "settle:s1": JournalEntry(
            "settle:s1",
            "reversal",
            "ops",
            (Posting("user:bert", "gold", -15), Posting("owed:bert", "gold", 15)),
            {"owed_by": "bert", "gold": 15, "by_house": False},
            {"gold": 15, "income": 5},
            "paid",
        )
    }
    assert fixture.locks.names == [("bert",)]


async def test_the_house_settles_a_debt_and_can_reverse_that() -> None:
    fixture = LedgerFixture(bert=(3, 5))
    fixture.store.owed["bert"] = 20
    assert await fixture.settle(15, by_house=True) == {"gold": 3, "income": 5}
    assert (fixture.store.balances["bert"], fixture.store.owed["bert"]) == (Balance(3, 5), 5)
    entry = fixture.store.entries["settle:s1"]
    assert entry.lines == (Posting("house", "gold", -15), Posting("owed:bert", "gold", 15))
    assert entry.kind == "grant"
    await fixture.reverse("settle:s1")
    assert (fixture.store.balances["bert"], fixture.store.owed["bert"]) == (Balance(3, 5), 20)


async def test_income_that_is_owed_is_settled_in_the_same_way() -> None:
    fixture = LedgerFixture(bert=(3, 30))
    fixture.store.owed["bert"], fixture.store.owed_income["bert"] = 9, 20
    assert await fixture.settle(15, unit="income") == {"gold": 3, "income": 15}
    assert await fixture.settle(5, "s2", by_house=True, unit="income") == {"gold": 3, "income": 15}
    assert (fixture.store.owed["bert"], fixture.store.owed_income["bert"]) == (9, 0)
    entry = fixture.store.entries["settle:s1"]
    assert entry.lines == (Posting("user:bert", "income", -15), Posting("owed:bert", "income", 15))
    assert entry.content == {"owed_by": "bert", "income": 15, "by_house": False}
    with pytest.raises(RequestIdReused):
        await fixture.settle(15)
    with pytest.raises(DebtExceeded):
        await fixture.settle(1, "s3", unit="income")


@pytest.mark.parametrize(
    ("gold", "by_house", "error"),
    [(21, False, DebtExceeded), (21, True, DebtExceeded), (20, False, InsufficientGold)],
)
async def test_settling_more_than_the_debt_or_the_balance_is_refused(
    gold: int, by_house: bool, error: type[Exception]
) -> None:
    fixture = LedgerFixture(bert=(19, 5))
    fixture.store.owed["bert"] = 20
    with pytest.raises(error):
        await fixture.settle(gold, by_house=by_house)
    assert (fixture.store.balances["bert"], fixture.store.owed["bert"]) == (Balance(19, 5), 20)
    assert fixture.store.entries == {}


async def test_the_id_of_a_settlement_cannot_be_reused() -> None:
    fixture = LedgerFixture(bert=(30, 5))
    fixture.store.owed["bert"] = 20
    await fixture.settle(5)
    with pytest.raises(RequestIdReused):
        await fixture.settle(6)
    with pytest.raises(RequestIdReused):
        await fixture.settle(5, by_house=True)
    answers = fixture.race_next_find(lambda: fixture.settle(5, "s2"))
    assert [await fixture.settle(5, "s2")] == answers == [{"gold": 20, "income": 5}]
    assert fixture.store.owed["bert"] == 10


async def test_concurrent_identical_settlements_succeed_when_nothing_is_owed() -> None:
    fixture = LedgerFixture(bert=(30, 5))
    fixture.store.owed["bert"] = 20
    answers = fixture.race_next_find(lambda: fixture.settle(20))
    assert [await fixture.settle(20)] == answers
