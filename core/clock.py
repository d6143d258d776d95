"""Wall clock in milliseconds, the unit of rooms and their events, and days in China."""

import time
from datetime import date, datetime, timedelta, timezone

CHINA_TZ = timezone(timedelta(hours=8))
"""Time zone of the users and of WeChat Pay; the day of a ranking begins and ends in it."""


def now_ms() -> int:
    """Return the milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def day_of(at: datetime) -> date:
    """Return the day in China of a timezone-aware `at`."""
    return at.astimezone(CHINA_TZ).date()


def day_interval(day: date) -> tuple[datetime, datetime]:
    """Return start (inclusive) and end (exclusive) of a day in China."""
    start = datetime(day.year, day.month, day.day, tzinfo=CHINA_TZ)
    return start, start + timedelta(days=1)
