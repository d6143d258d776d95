"""Wall clock in milliseconds, the unit of rooms and their events; the users' time zone."""

import time
from datetime import timedelta, timezone

CHINA_TZ = timezone(timedelta(hours=8))
"""Time zone of the users and of WeChat Pay; the day of a ranking begins and ends in it."""


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000
