"""Rules of the rates: what they may be, and from when a change of them, or of a block, applies."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from core.clock import day_interval, day_of
from ledger.journal import JsonObject

RATE_KEYS = ("EXCHANGE_RATE", "WITHDRAW_RATE")
"""Configs with a share of a gift's gold that the receiver gets, and with the yuan of one income."""


def rate_from(value: object) -> Decimal | None:
    """Return the rate of a config's JSON value; None unless it is a number above 0, at most 1."""
    if isinstance(value, bool):
        return None
    try:
        rate = Decimal(str(value))
    except InvalidOperation:
        return None
    return rate if rate.is_finite() and 0 < rate <= 1 else None


def price_fields(row: JsonObject) -> Sequence[str]:
    """Return the fields of a row by which gold or income is worth more or less.

    The row is that of a config or a recharge block.
    """
    if row.get("key") in RATE_KEYS:
        return ("value",)
    return ("gold", "fen") if "fen" in row else ()


def from_midnight(fields: JsonObject, now: datetime) -> dict[str, Any]:
    """Return the field `next` of a row whose `fields` change at the next midnight in China."""
    return {"fields": dict(fields), "at": day_interval(day_of(now))[1]}


def row_at(row: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return a row as it is at `now`: its `next` has come, waits, or is absent."""
    following = row.get("next")
    if following is None or following["at"] > now:
        return dict(row)
    return {**{name: row[name] for name in row if name != "next"}, **following["fields"]}
