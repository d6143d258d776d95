"""Rule of the rates: what a config of EXCHANGE_RATE or WITHDRAW_RATE may state."""

from decimal import Decimal, InvalidOperation

RATE_KEYS = ("EXCHANGE_RATE", "WITHDRAW_RATE")
"""Configs with a share of a gift's gold that the receiver gets, and with the yuan of one income."""


def rate_from(value: object) -> Decimal | None:
    """The rate of a config's JSON value; None unless it is a number above 0 and at most 1."""
    if isinstance(value, bool):
        return None
    try:
        rate = Decimal(str(value))
    except InvalidOperation:
        return None
    return rate if rate.is_finite() and 0 < rate <= 1 else None
