"""Income that has not matured, for display: summed at most every few seconds."""

import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from storage.payees import PayeeStore

CACHED_SECONDS = 10.0
"""A popular host has a hundred thousand gifts within the time of maturity."""
MAX_CACHED = 1_000


class _Sum(NamedTuple):
    at: float
    income: int
    recent: int


class RecentIncomeCache:
    """In memory, of this process; the users asked about least recently are forgotten."""

    def __init__(
        self,
        payees: PayeeStore,
        maturity: timedelta,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._payees = payees
        self._maturity = maturity
        self._clock = clock
        self._sums: OrderedDict[str, _Sum] = OrderedDict()

    async def of(self, user_id: str, income: int) -> int:
        """Recent income of a user with `income`; what came since it was summed is recent, too."""
        now, cached = self._clock(), self._sums.get(user_id)
        if cached and now - cached.at < CACHED_SECONDS:
            return cached.recent + max(0, income - cached.income)
        since = datetime.now(UTC) - self._maturity
        recent = await self._payees.recent_income(user_id, since)
        self._sums[user_id] = _Sum(now, income, recent)
        self._sums.move_to_end(user_id)
        if len(self._sums) > MAX_CACHED:
            self._sums.popitem(last=False)
        return recent
