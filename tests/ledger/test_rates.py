"""A rate is a number above 0 and at most 1, as a JSON number or as its text."""

from decimal import Decimal

import pytest

from ledger.rates import rate_from


@pytest.mark.parametrize("value", [0.3, "0.3", 1, "1.00", 1e-9])
def test_a_number_above_zero_and_at_most_one_is_a_rate(value: object) -> None:
    assert rate_from(value) == Decimal(str(value))


@pytest.mark.parametrize(
    "value", [0, "0", -0.5, 1.01, True, None, "", "half", "NaN", "sNaN", "Infinity", [0.5], {}]
)
def test_any_other_value_is_no_rate(value: object) -> None:
    assert rate_from(value) is None
