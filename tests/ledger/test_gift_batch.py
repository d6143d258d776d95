from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from core.errors import QLiveError
from ledger.errors import InsufficientGold, RequestIdReused
from ledger.gifts import BalanceChange, GiftBatch, GiftTransfer, RankingChange, StoredEntry
from ledger.journal import Balance, EventReference, JournalEntry, JsonObject, Posting
from tests.support.ledger import TRANSFER, TRANSFER_WITHOUT_ID
from tests.support.ledger_in_memory import MemoryLedgerStore

EVENT = EventReference(7, "e1", 42)
DAY = "day:2026-03-01"


class GiftLedger:
    """An in-memory ledger that is given gifts in batches."""

    def __init__(self, **balances: tuple[int, int]) -> None:
        self.store = MemoryLedgerStore(**(balances or {"anna": (100, 10), "bert": (0, 0)}))

    def give(self, *transfers: GiftTransfer, event: EventReference | None = None) -> list[Any]:
        """Give a batch; returns the answers, and the types of errors."""
        batch = self.store.load_context(transfers)
        answers = [find_answer_or_give(batch, transfer, event) for transfer in transfers]
        self.store.apply_batch(batch)
        return [type(answer) if isinstance(answer, QLiveError) else answer for answer in answers]


def find_answer_or_give(
    batch: GiftBatch, transfer: GiftTransfer, event: EventReference | None = None
) -> JsonObject | QLiveError:
    return batch.find_answer(transfer) or batch.give(transfer, event)


def success(gold: int, income: int) -> JsonObject:
    return {"status": "success", "gold": gold, "income": income}


# ---- one gift


def test_a_gift_moves_gold_and_writes_an_entry() -> None:
    ledger = GiftLedger()
    assert ledger.give(TRANSFER) == [success(80, 10)]
    assert ledger.store.balances == {"anna": Balance(80, 10), "bert": Balance(0, 10)}
    assert ledger.store.entries == {
        "gift:anna:r1": JournalEntry(
            "gift:anna:r1",
            "gift",
            "anna",
            (
                Posting("user:anna", "gold", -20),
                Posting("house", "gold", 20),
                Posting("user:bert", "income", 10),
                Posting("house", "income", -10),
            ),
            {"to": "bert", "gift_id": 3, "num": 2},
            {"status": "success", "gold": 80, "income": 10},
        )
    }
    assert ledger.store.references == {"gift:anna:r1": (ledger.store.now, None)}


def test_income_pays_the_rest_when_gold_is_short() -> None:
    ledger = GiftLedger(anna=(15, 10), bert=(0, 0))
    assert ledger.give(TRANSFER) == [success(0, 5)]
    lines = ledger.store.entries["gift:anna:r1"].lines
    assert Posting("user:anna", "gold", -15) in lines
    assert Posting("user:anna", "income", -5) in lines


def test_a_gift_in_a_room_is_stored_with_its_event() -> None:
    ledger = GiftLedger()
    assert ledger.give(TRANSFER, event=EVENT) == [success(80, 10)]
    assert ledger.store.references == {"gift:anna:r1": (ledger.store.now, EVENT)}


def test_a_free_gift_is_given_without_postings() -> None:
    ledger = GiftLedger(anna=(3, 4), bert=(0, 0))
    assert ledger.give(replace(TRANSFER, gold=0), event=EVENT) == [success(3, 4)]
    assert ledger.store.entries["gift:anna:r1"].lines == ()
    assert ledger.store.rankings == {}


def test_a_gift_to_oneself_returns_the_balance_afterwards() -> None:
    ledger = GiftLedger(anna=(15, 10))
    assert ledger.give(replace(TRANSFER, receiver="anna")) == [success(0, 15)]
    assert ledger.store.balances == {"anna": Balance(0, 15)}


# ---- idempotency


def test_a_repeated_request_charges_once_and_gets_the_same_answer() -> None:
    ledger = GiftLedger()
    first = ledger.give(TRANSFER, event=EVENT)
    ledger.give(replace(TRANSFER, request_id="r2"))
    assert ledger.give(TRANSFER) == first
    assert ledger.store.balances["anna"] == Balance(60, 10)
    assert len(ledger.store.entries) == 2


def test_a_repeated_request_gets_the_same_answer_on_an_empty_balance() -> None:
    ledger = GiftLedger(anna=(20, 0), bert=(0, 0))
    assert ledger.give(TRANSFER) == ledger.give(TRANSFER) == [success(0, 0)]


def test_a_gift_not_yet_given_has_no_stored_answer() -> None:
    ledger = GiftLedger(anna=(100, 0), bert=(0, 0))
    assert ledger.store.load_context([TRANSFER]).find_answer(TRANSFER) is None
    ledger.give(TRANSFER)
    for other in (
        replace(TRANSFER, request_id="r2"),
        replace(TRANSFER, sender="bert"),
        TRANSFER_WITHOUT_ID,
    ):
        assert ledger.store.load_context([other]).find_answer(other) is None


def test_a_changed_price_is_not_another_request() -> None:
    ledger = GiftLedger()
    first = ledger.give(TRANSFER)
    assert ledger.give(replace(TRANSFER, gold=99, rate=Decimal(1))) == first


@pytest.mark.parametrize("other", [{"receiver": "carl"}, {"gift_id": 4}, {"num": 1}])
@pytest.mark.parametrize("together", [False, True])
def test_a_request_id_reused_with_other_content_is_refused(
    other: dict[str, Any], together: bool
) -> None:
    ledger = GiftLedger(anna=(100, 10), bert=(0, 0), carl=(0, 0))
    another = replace(TRANSFER, **other)
    if together:
        assert ledger.give(TRANSFER, another, TRANSFER) == [
            success(80, 10),
            RequestIdReused,
            success(80, 10),
        ]
    else:
        ledger.give(TRANSFER)
        assert ledger.give(another) == [RequestIdReused]
    assert ledger.store.balances["anna"] == Balance(80, 10)
    assert len(ledger.store.entries) == 1


def test_a_reused_request_id_is_reported_before_insufficient_gold() -> None:
    ledger = GiftLedger(anna=(20, 0), bert=(0, 0))
    ledger.give(TRANSFER)
    assert ledger.give(replace(TRANSFER, num=3)) == [RequestIdReused]


def test_request_ids_are_scoped_by_sender() -> None:
    ledger = GiftLedger(anna=(100, 0), bert=(100, 0))
    ledger.give(TRANSFER, replace(TRANSFER, sender="bert", receiver="anna"))
    assert ledger.store.entries.keys() == {"gift:anna:r1", "gift:bert:r1"}


def test_insufficient_gold_leaves_the_batch_unchanged() -> None:
    batch = GiftBatch(MemoryLedgerStore().now, {"anna": Balance(9, 10), "bert": Balance(0, 0)})
    assert isinstance(batch.give(TRANSFER, EVENT), InsufficientGold)
    assert batch.balances == {"anna": Balance(9, 10), "bert": Balance(0, 0)}
    assert (batch.entries, batch.balance_changes, batch.ranking_changes) == ([], [], [])
    assert batch.written == {}


def test_a_refused_request_can_be_repeated() -> None:
    ledger = GiftLedger(anna=(0, 0), bert=(0, 0))
    assert ledger.give(TRANSFER) == [InsufficientGold]
    ledger.store.balances["anna"] = Balance(20, 0)
    assert ledger.give(TRANSFER) == [success(0, 0)]


# ---- without a request_id


def test_a_gift_without_request_id_is_always_new() -> None:
    ledger = GiftLedger()
    assert ledger.give(TRANSFER_WITHOUT_ID, replace(TRANSFER_WITHOUT_ID)) == [
        success(80, 10),
        success(60, 10),
    ]
    assert ledger.give(replace(TRANSFER_WITHOUT_ID)) == [success(40, 10)]
    assert len(ledger.store.entries) == 3


# ---- several gifts in a batch


def test_one_sender_without_gold_does_not_affect_the_others() -> None:
    ledger = GiftLedger(anna=(100, 0), bert=(0, 0), carl=(19, 0))
    by_carl = replace(TRANSFER, sender="carl")
    answers = ledger.give(TRANSFER, by_carl, replace(TRANSFER, request_id="r2"))
    assert answers == [success(80, 0), InsufficientGold, success(60, 0)]
    assert ledger.store.balances == {
        "anna": Balance(60, 0),
        "bert": Balance(0, 20),
        "carl": Balance(19, 0),
    }
    assert [*ledger.store.entries] == ["gift:anna:r1", "gift:anna:r2"]


def test_only_affordable_gifts_of_a_batch_are_given() -> None:
    ledger = GiftLedger(anna=(25, 0), bert=(0, 0))
    expensive = [replace(TRANSFER, request_id=name, num=num) for name, num in (("a", 2), ("b", 1))]
    cheap = replace(TRANSFER, request_id="c", gold=5, num=1)
    assert ledger.give(*expensive, cheap) == [success(5, 0), InsufficientGold, success(0, 0)]


def test_a_key_repeated_in_a_batch_charges_once() -> None:
    ledger = GiftLedger(anna=(20, 0), bert=(0, 0))
    assert ledger.give(TRANSFER, replace(TRANSFER, gold=99)) == [success(0, 0)] * 2
    assert len(ledger.store.entries) == 1
    assert ledger.store.balances == {"anna": Balance(0, 0), "bert": Balance(0, 10)}


def test_a_refused_key_can_be_repeated_in_the_same_batch() -> None:
    ledger = GiftLedger(anna=(15, 0), bert=(20, 0))
    back = replace(TRANSFER, sender="bert", receiver="anna")
    assert ledger.give(TRANSFER, back, TRANSFER) == [InsufficientGold, success(0, 0), success(0, 5)]


def test_income_earned_earlier_in_the_batch_can_be_spent() -> None:
    ledger = GiftLedger(anna=(20, 0), bert=(0, 0), carl=(0, 0))
    forwarded = replace(TRANSFER, sender="bert", receiver="carl", num=1)
    assert ledger.give(forwarded, TRANSFER, forwarded) == [
        InsufficientGold,
        success(0, 0),
        success(0, 0),
    ]
    assert ledger.store.balances == {
        "anna": Balance(0, 0),
        "bert": Balance(0, 0),
        "carl": Balance(0, 5),
    }
    assert [*ledger.store.entries] == ["gift:anna:r1", "gift:bert:r1"]


# ---- entries and changes to write


def batch_of(
    *transfers: GiftTransfer, event: EventReference | None = None, **balances: tuple[int, int]
) -> GiftBatch:
    batch = GiftBatch(
        MemoryLedgerStore().now,
        {user_id: Balance(*balance) for user_id, balance in balances.items()},
    )
    for transfer in transfers:
        find_answer_or_give(batch, transfer, event)
    return batch


def test_entries_keep_the_order_of_gifts_and_their_events() -> None:
    batch = batch_of(anna=(100, 0), bert=(0, 0))
    names, seqs = ("c", "a", "b"), (44, 43, 45)
    for name, seq in zip(names, seqs, strict=True):
        batch.give(replace(TRANSFER, request_id=name), replace(EVENT, seq=seq))
    batch.give(replace(TRANSFER, request_id="d"), None)
    written = [(entry.key, event and event.seq) for entry, event in batch.entries]
    assert written == [(f"gift:anna:{n}", s) for n, s in zip("cabd", (*seqs, None), strict=True)]
    assert [entry.answer["gold"] for entry, _ in batch.entries] == [80, 60, 40, 20]


def test_a_balance_change_has_the_balance_before_and_after_the_batch() -> None:
    transfers = [replace(TRANSFER, request_id=name) for name in "ab"]
    batch = batch_of(*transfers, bert=(1, 2), anna=(35, 10))
    assert batch.balance_changes == [
        BalanceChange("anna", Balance(35, 10), Balance(0, 5)),
        BalanceChange("bert", Balance(1, 2), Balance(1, 22)),
    ]


def test_balances_without_postings_do_not_change() -> None:
    batch = batch_of(replace(TRANSFER, rate=Decimal(0)), anna=(20, 0), bert=(0, 0), carl=(7, 7))
    assert batch.balance_changes == [BalanceChange("anna", Balance(20, 0), Balance(0, 0))]
    assert batch_of(replace(TRANSFER, gold=0), anna=(20, 0), bert=(0, 0)).balance_changes == []


def test_a_balance_change_that_nets_to_zero_is_included() -> None:
    there = replace(TRANSFER, rate=Decimal(1))
    back = replace(there, sender="bert", receiver="anna")
    batch = batch_of(there, back, anna=(0, 20), bert=(0, 0))
    assert batch.balance_changes == [
        BalanceChange("anna", Balance(0, 20), Balance(0, 20)),
        BalanceChange("bert", Balance(0, 0), Balance(0, 0)),
    ]


def test_ranking_changes_are_summed_by_scope_and_user() -> None:
    transfers = [replace(TRANSFER, request_id=name) for name in "ab"]
    back = replace(TRANSFER, sender="bert", receiver="anna", num=1)
    batch = batch_of(*transfers, back, event=EVENT, anna=(35, 10), bert=(10, 0))
    assert batch.ranking_changes == [
        RankingChange(DAY, "anna", 40, 5),
        RankingChange(DAY, "bert", 10, 20),
        RankingChange("live:7:e1", "anna", 40, 5),
        RankingChange("live:7:e1", "bert", 10, 20),
    ]


def test_ranking_changes_follow_the_live_of_each_gift() -> None:
    batch = batch_of(anna=(100, 0), bert=(0, 0))
    for name, event in (("a", EVENT), ("b", replace(EVENT, epoch="e2")), ("c", None)):
        batch.give(replace(TRANSFER, request_id=name), event)
    assert batch.ranking_changes == [
        RankingChange(DAY, "anna", 60, 0),
        RankingChange(DAY, "bert", 0, 30),
        RankingChange("live:7:e1", "anna", 20, 0),
        RankingChange("live:7:e1", "bert", 0, 10),
        RankingChange("live:7:e2", "anna", 20, 0),
        RankingChange("live:7:e2", "bert", 0, 10),
    ]


def test_a_stored_gift_is_neither_written_nor_ranked_again() -> None:
    stored = StoredEntry(TRANSFER.content, success(80, 10))
    balances = {"anna": Balance(80, 10), "bert": Balance(0, 10)}
    batch = GiftBatch(MemoryLedgerStore().now, balances, {TRANSFER.key: stored})
    assert find_answer_or_give(batch, TRANSFER, EVENT) == success(80, 10)
    assert (batch.entries, batch.balance_changes, batch.ranking_changes) == ([], [], [])
