import pytest

from money.book import HOUSE, Entry, Line, account, lines_of


def entry(*lines: Line) -> Entry:
    return Entry("key", "grant", "ops", lines, {})


def test_what_moves_from_the_house_to_somebody() -> None:
    assert lines_of("1", gold=7, income=-3) == (
        Line("user:1", "gold", 7),
        Line(HOUSE, "gold", -7),
        Line("user:1", "income", -3),
        Line(HOUSE, "income", 3),
    )


def test_a_unit_that_does_not_move_has_no_line() -> None:
    assert lines_of("1") == ()
    assert [line.unit for line in lines_of("1", gold=1)] == ["gold", "gold"]
    assert [line.unit for line in lines_of("1", income=1)] == ["income", "income"]


def test_a_users_account_is_never_the_house() -> None:
    assert account("house") != HOUSE


def test_an_entry_sums_to_zero() -> None:
    assert entry(*lines_of("1", 5), *lines_of("2", -2, 3)).lines
    assert entry().lines == ()


@pytest.mark.parametrize(
    "lines",
    [
        (Line("user:1", "gold", 1),),
        (Line("user:1", "gold", 2), Line(HOUSE, "gold", -1)),
        (Line("user:1", "gold", 1), Line(HOUSE, "income", -1)),
    ],
)
def test_an_entry_that_does_not_sum_to_zero_per_unit_cannot_be_made(
    lines: tuple[Line, ...],
) -> None:
    with pytest.raises(ValueError, match="the lines of key do not sum to zero"):
        entry(*lines)
