"""Dates: the times in which a man and a woman are on mic together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MAX_DATES = 200
"""Dates that are kept of a live: one every two minutes for seven hours. A page of eight summaries
with so many takes 80 ms to encode."""


@dataclass(frozen=True, slots=True)
class DateChange:
    """The date `number` (from 0) of a live begins (`on`) or ends."""

    number: int
    male: str
    female: str
    on: bool


def date_fields(changes: Sequence[DateChange], at: int) -> dict[int, dict[str, Any]]:
    """Return the fields of dates that these changes at `at` (ms) set, by the dates' numbers."""
    fields: dict[int, dict[str, Any]] = {}
    for change in changes:
        if change.number >= MAX_DATES:
            continue
        began = {"male": change.male, "female": change.female, "from": at}
        fields.setdefault(change.number, {}).update(
            {**began, "to": None} if change.on else {"to": at}
        )
    return fields
