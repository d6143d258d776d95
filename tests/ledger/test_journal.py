import pytest

from ledger.journal import HOUSE, JournalEntry, Posting, postings_for, user_account


def entry(*lines: Posting) -> JournalEntry:
    return JournalEntry("key", "grant", "ops", lines, {})


def test_postings_move_amounts_between_house_and_user() -> None:
    assert postings_for("1", gold=7, income=-3) == (
        Posting("user:1", "gold", 7),
        Posting(HOUSE, "gold", -7),
        Posting("user:1", "income", -3),
        Posting(HOUSE, "income", 3),
    )


def test_a_unit_without_amount_has_no_posting() -> None:
    assert postings_for("1") == ()
    assert [line.unit for line in postings_for("1", gold=1)] == ["gold", "gold"]
    assert [line.unit for line in postings_for("1", income=1)] == ["income", "income"]


def test_a_user_account_is_never_the_house() -> None:
    assert user_account("house") != HOUSE


def test_an_entry_sums_to_zero() -> None:
    assert entry(*postings_for("1", 5), *postings_for("2", -2, 3)).lines
    assert entry().lines == ()


@pytest.mark.parametrize(
    "lines",
    [
        (Posting("user:1", "gold", 1),),
        (Posting("user:1", "gold", 2), Posting(HOUSE, "gold", -1)),
        (Posting("user:1", "gold", 1), Posting(HOUSE, "income", -1)),
    ],
)
def test_an_entry_must_sum_to_zero_per_unit(
    lines: tuple[Posting, ...],
) -> None:
    with pytest.raises(ValueError, match="the lines of key do not sum to zero"):
        entry(*lines)
