"""Rankings: who gave and who took how much, in a live and on a day; the fold of the gifts."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from typing import NamedTuple

from money.book import Entry, Heard, account, people_in

CHINA = timezone(timedelta(hours=8))
"""A day is one of the people who use this."""


class Mark(NamedTuple):
    """What somebody gave (`gold`, whatever it was paid with) and took (`income`) in a ranking."""

    scope: str
    user_id: str
    gold: int
    income: int

    def negated(self) -> "Mark":
        return self._replace(gold=-self.gold, income=-self.income)


def live_scope(live_id: int, epoch: str) -> str:
    return f"live:{live_id}:{epoch}"


def day_scope(day: date) -> str:
    return f"day:{day.isoformat()}"


def day_of(at: datetime) -> date:
    """The day in China; `at` knows its zone."""
    return at.astimezone(CHINA).date()


def span_of(day: date) -> tuple[datetime, datetime]:
    """From when to (not including) when that day lasts."""
    start = datetime(day.year, day.month, day.day, tzinfo=CHINA)
    return start, start + timedelta(days=1)


def marks_of(entry: Entry, at: datetime, heard: Heard | None) -> Iterator[Mark]:
    """What a gift adds; nothing for an entry of another kind."""
    if entry.kind != "gift":
        return
    scopes = [day_scope(day_of(at))]
    if heard:
        scopes.append(live_scope(heard.live_id, heard.epoch))
    for user_id in people_in(entry.lines):
        mine = [line.amount for line in entry.lines if line.account == account(user_id)]
        gave, took = -sum(n for n in mine if n < 0), sum(n for n in mine if n > 0)
        for scope in scopes:
            yield Mark(scope, user_id, gave, took)
