"""Rankings of gold given and income received, per live session and day."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import NamedTuple

from core.clock import CHINA_TZ
from ledger.journal import EventReference, JournalEntry, affected_users, user_account


class RankingChange(NamedTuple):
    """Increments of a user's entry in one ranking.

    `gold` is what they gave, whether paid in gold or income, `income` what they received.
    """

    scope: str
    user_id: str
    gold: int
    income: int

    def negated(self) -> "RankingChange":
        return self._replace(gold=-self.gold, income=-self.income)


def live_scope(live_id: int, epoch: str) -> str:
    return f"live:{live_id}:{epoch}"


def day_scope(day: date) -> str:
    return f"day:{day.isoformat()}"


def day_of(at: datetime) -> date:
    """The day in China of a timezone-aware `at`."""
    return at.astimezone(CHINA_TZ).date()


def day_interval(day: date) -> tuple[datetime, datetime]:
    """Start (inclusive) and end (exclusive) of a day in China."""
    start = datetime(day.year, day.month, day.day, tzinfo=CHINA_TZ)
    return start, start + timedelta(days=1)


def ranking_changes(
    entry: JournalEntry, at: datetime, event: EventReference | None
) -> Iterator[RankingChange]:
    """Ranking changes of a gift; empty for entries of other kinds.

    `event` is that of the room; without one, only the ranking of the day changes.
    """
    if entry.kind != "gift":
        return
    scopes = [day_scope(day_of(at))]
    if event:
        scopes.append(live_scope(event.live_id, event.epoch))
    for user_id in affected_users(entry.lines):
        amounts = [line.amount for line in entry.lines if line.account == user_account(user_id)]
        given, received = -sum(n for n in amounts if n < 0), sum(n for n in amounts if n > 0)
        for scope in scopes:
            yield RankingChange(scope, user_id, given, received)
