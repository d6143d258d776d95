from collections.abc import Awaitable, Callable

import pytest

from ledger.journal import Balance, JournalEntry, JsonObject, Posting, Unit
from services.gold.ledger import LedgerService
from tests.support.ledger_in_memory import TRANSFER, MemoryLedgerStore, MemoryLocks


class LedgerFixture:
    """A ledger service on an in-memory store."""

    def __init__(self, **balances: tuple[int, int]) -> None:
        self.store = MemoryLedgerStore(**(balances or {"anna": (100, 10), "bert": (0, 0)}))
        self.locks = MemoryLocks()
        self.service = LedgerService(self.store, self.locks)

    def give(self) -> None:
        batch = self.store.load_context([TRANSFER])
        batch.give(TRANSFER, None)
        self.store.apply_batch(batch)

    async def grant(self) -> JsonObject:
        return await self.service.grant("bert", 50, "a prize", "g1", "ops")

    async def reverse(self, key: str = "gift:anna:r1") -> JsonObject:
        return await self.service.reverse(key, "by mistake", "ops")

    async def settle(self, gold: int = 20, unit: Unit = "gold") -> JsonObject:
        return await self.service.settle_debt(
            "bert", gold, "paid", "s1", "ops", by_house=False, unit=unit
        )


# ---- each movement happens once


@pytest.mark.parametrize(
    ("move", "answer"),
    [
        (LedgerFixture.grant, {"gold": 70, "income": 10}),
        (LedgerFixture.reverse, {"reverses": "gift:anna:r1"}),
        (LedgerFixture.settle, {"gold": 0, "income": 10}),
    ],
)
async def test_a_repeated_movement_has_one_effect_and_answer(
    move: Callable[[LedgerFixture], Awaitable[JsonObject]], answer: JsonObject
) -> None:
    """Also a reversal or settlement after which nothing is left for another one."""
    fixture = LedgerFixture(anna=(20, 0), bert=(20, 0))
    fixture.give()  # costs 20 and earns 10
    fixture.store.owed["bert"] = 20
    entries = len(fixture.store.entries)
    assert [await move(fixture), await move(fixture)] == [answer] * 2
    assert len(fixture.store.entries) == entries + 1


# ---- entries


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


async def test_a_reversal_restores_the_balances() -> None:
    fixture = LedgerFixture(anna=(15, 10), bert=(0, 0))
    fixture.give()
    await fixture.reverse()
    assert fixture.store.balances == {"anna": Balance(15, 10), "bert": Balance(0, 0)}
    entry = fixture.store.entries["reversal:gift:anna:r1"]
    assert (entry.kind, entry.by, entry.note) == ("reversal", "ops", "by mistake")
    assert entry.content == entry.answer == {"reverses": "gift:anna:r1"}
    assert fixture.locks.names[-1] == ("anna", "bert")


@pytest.mark.parametrize("unit", ["gold", "income"])
async def test_a_user_settles_a_debt(unit: Unit) -> None:
    fixture = LedgerFixture(bert=(30, 30))
    fixture.store.owed["bert"] = fixture.store.owed_income["bert"] = 20
    left = {"gold": 30, "income": 30, unit: 15}
    assert await fixture.settle(15, unit=unit) == left
    assert fixture.store.balances["bert"] == Balance(**left)
    owed = {"gold": fixture.store.owed["bert"], "income": fixture.store.owed_income["bert"]}
    assert owed == {"gold": 20, "income": 20, unit: 5}
    assert fixture.store.entries == {
        "settle:s1": JournalEntry(
            "settle:s1",
            "reversal",
            "ops",
            (Posting("user:bert", unit, -15), Posting("owed:bert", unit, 15)),
            {"owed_by": "bert", unit: 15, "by_house": False},
            left,
            "paid",
        )
    }
    assert fixture.locks.names == [("bert",)]
