"""Entries of paid debts and reversals; tests/ledger/test_properties.py shows the rest."""

import pytest

from ledger.journal import JournalEntry, Posting, Unit
from services.gold.ledger import LedgerService
from tests.support.ledger_in_memory import TRANSFER, MemoryLedgerStore, MemoryLocks


class LedgerFixture:
    """A ledger service on an in-memory store."""

    def __init__(self) -> None:
        self.store = MemoryLedgerStore(anna=(15, 10), bert=(30, 30))
        self.locks = MemoryLocks()
        self.service = LedgerService(self.store, self.locks)


async def test_a_reversal_negates_the_lines_of_its_entry() -> None:
    fixture = LedgerFixture()
    batch = fixture.store.load_context([TRANSFER])
    batch.give(TRANSFER, None)
    fixture.store.apply_batch(batch)
    await fixture.service.reverse("gift:anna:r1", "by mistake", "ops")
    gift, reversal = fixture.store.entries.values()
    lines = tuple(line._replace(amount=-line.amount) for line in gift.lines)
    content = {"reverses": "gift:anna:r1"}
    key = "reversal:gift:anna:r1"
    expected = JournalEntry(key, "reversal", "ops", lines, content, content, "by mistake")
    assert reversal == expected
    assert fixture.locks.names == [("anna", "bert")]


@pytest.mark.parametrize("unit", ["gold", "income"])
async def test_a_user_pays_off_a_debt(unit: Unit) -> None:
    fixture = LedgerFixture()
    fixture.store.owed["bert"] = fixture.store.owed_income["bert"] = 20
    left = {"gold": 30, "income": 30, unit: 15}
    paid_off = await fixture.service.pay_off_debt(
        "bert", 15, "paid", "s1", "ops", by_house=False, unit=unit
    )
    assert paid_off == left
    owed = {"gold": fixture.store.owed["bert"], "income": fixture.store.owed_income["bert"]}
    assert owed == {"gold": 20, "income": 20, unit: 5}
    lines = (Posting("user:bert", unit, -15), Posting("owed:bert", unit, 15))
    content = {"owed_by": "bert", unit: 15, "by_house": False}
    entry = JournalEntry("settle:s1", "reversal", "ops", lines, content, left, "paid")
    assert fixture.store.entries == {"settle:s1": entry}
    assert fixture.locks.names == [("bert",)]
